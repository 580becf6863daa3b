"""Find by trying the learning rate at which weights move by a usual share of their norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import floor, inf, isfinite, log10

from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.lower_rate import medians_of
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.optimizer_copy import copied, rate_of
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import NoNumber, Remedy

__all__ = ["GOOD", "TRIED", "common_rate", "fitting_rate", "fitting_rate_of_group"]

GOOD = 1e-3
"""‖update‖/‖weight‖ of a training that usually goes well."""
_TRIES, TRIED = 4, 4  # rates tried, and steps for each


def fitting_rate(obs: Observed, pick: Callable[[Iterable[float]], float], now: float) -> tuple[str, Remedy | None]:
    """The rate at which the picked update ratio is usual, as advice and as remedy; empty and None if none is found."""
    lr = common_rate(obs)
    if not lr:
        return "", None

    def ratio(rate: float) -> float:
        return pick(medians_of(watch_steps(obs.subject, TRIED, penalties=False, factor=rate / lr)).values())

    new = _usual(lr, now, ratio)
    if new is None:
        return "", None
    found = attempt(obs.subject, factor=new / lr, own_rate=True)
    if not found.learns:
        return "", None
    return f"Use a learning rate of {new:g} ({found.summary}).", Remedy("rate", value=new)


def fitting_rate_of_group(obs: Observed, index: int, weights: Sequence[str], now: float) -> tuple[str, Remedy]:
    """The rate of one parameter group, as the clause of an advice and as remedy.

    Args:
        obs: the observed setup, with an optimizer.
        index: the group's.
        weights: the group's, by name.
        now: their largest update ratio.
    """
    assert obs.subject.optimizer is not None
    groups = obs.subject.optimizer.param_groups
    rate = rate_of(groups[index])

    def ratio(rate: float) -> float:
        medians = medians_of(watch_steps(_at_rate(obs.subject, index, rate), TRIED, penalties=False))
        return max((medians[name] for name in weights if name in medians), default=0.0)

    if not (rate and now):  # nothing to extrapolate from
        rate = max(rate_of(group) for group in groups)
        now = ratio(rate)
    new = _usual(rate, now, ratio)
    found = None if new is None else attempt(_at_rate(obs.subject, index, new), own_rate=True)
    if new is None or found is None or not found.learns:
        return "", Remedy(
            "rate", weights, NoNumber("no rate tried moves the group's weights and learns"), groups=[index]
        )
    return f", {new:g} ({found.summary})", Remedy("rate", weights, new, groups=[index])


def common_rate(obs: Observed) -> float | None:
    """The learning rate, if all groups share one."""
    groups = obs.subject.optimizer.param_groups if obs.subject.optimizer else []
    rates = {rate_of(group) for group in groups if "lr" in group}
    return rate if len(rates) == 1 and isfinite(rate := rates.pop()) else None


def _usual(rate: float, now: float, ratio: Callable[[float], float]) -> float | None:
    """The rate, rounded, at which the update ratio, `now` at `rate`, is usual; None if it is not found.

    Found by trying: updates of tiny rates are lost in rounding, and ratios need not be proportional to the rate.
    """
    for _ in range(_TRIES):
        if not (0 < now < inf) or 0.5 < now / GOOD < 2:
            break
        rate *= GOOD / now
        now = ratio(rate)
    return _round(rate) if 0.1 < now / GOOD < 10 and 0 < rate < inf else None


def _round(value: float) -> float:
    """Round to the nearest 1, 2 or 5 times a power of 10."""
    power = floor(log10(value))
    rates = (digit * 10.0**p for p in (power, power + 1) for digit in (1, 2, 5))
    return min(rates, key=lambda rate: abs(log10(rate / value)))


def _at_rate(subject: Subject, index: int, rate: float) -> Subject:
    """The subject with another rate of one parameter group."""
    assert subject.optimizer is not None
    optimizer = copied(subject.optimizer)
    group = optimizer.param_groups[index]
    group |= {key: rate for key in ("lr", "initial_lr") if key in group}
    return replace(subject, optimizer=optimizer)
