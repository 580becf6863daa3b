"""Search a lower learning rate by trying."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isfinite, log10
from statistics import median

from regtorch.doctor.observe.attempt import Attempt, attempt
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.optimizer_copy import rate_of
from regtorch.doctor.observe.steps import WatchedSteps
from regtorch.doctor.remedy import Remedy

__all__ = ["LARGE", "lower_rate", "medians_of"]

LARGE = 0.3
"""Of a weight's norm: training forgets what it learnt if all weights move by more in a step."""

_TENS = 4  # powers of ten tried, from the first guess on
_MOST = 30


def medians_of(watched: WatchedSteps, steps: int | None = None) -> dict[str, float]:
    """The median over steps of ‖update‖/‖weight‖, by weight."""
    ratios: dict[str, list[float]] = {}
    for step in watched.steps[:steps]:
        for name, ratio in step.updates.items():
            ratios.setdefault(name, []).append(ratio)
    return {name: median(values) for name, values in ratios.items()}


def _is_calm(found: Attempt) -> bool:
    watched = found.watched
    known = {} if watched is None else medians_of(watched)
    ratios = [ratio for name, ratio in known.items() if ratio and watched and name not in watched.from_zero]
    return min(ratios, default=0.0) <= LARGE


def lower_rate(
    obs: Observed, times: float, is_cured: Callable[[Attempt], bool] = lambda _: True
) -> tuple[str, Remedy | None]:
    """The clause of an advice that names the rate, and the remedy; empty and None if no rate works.

    Args:
        obs: the observed setup.
        times: a guess of how many times lower the rate should be; rounded up to a power of ten, at least 10.
        is_cured: whether an attempt no longer shows the fault.
    """
    groups = obs.subject.optimizer.param_groups if obs.subject.optimizer else []
    lr = rate_of(groups[0]) if groups else 1e-3
    if not isfinite(lr):
        return "", None
    first = min(_MOST, max(1, ceil(log10(times)))) if isfinite(times) and times > 0 else 1
    for tens in range(first, first + _TENS):
        found = attempt(obs.subject, factor=10.0**-tens, own_rate=True)
        if found.learns and _is_calm(found) and is_cured(found):
            new = float(f"{lr / 10**tens:.3g}")
            each = "" if len({rate_of(group) for group in groups}) < 2 else ", and other groups' by the same factor"
            remedy = Remedy("rate", factor=10.0**-tens) if each else Remedy("rate", value=new)
            return f" to {new:g}{each} ({found.summary})", remedy if groups else None
    return "", None
