"""A learning rate at which some weights move by more than their norm, and nothing is learnt that a lower one learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.fitting_rate import GOOD, common_rate
from regtorch.doctor.observe.lower_rate import LARGE
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import WatchedSteps, watch_steps
from regtorch.doctor.remedy import Remedy

__all__ = ["fast", "momentum"]

_FAR = 1.0  # ‖update‖/‖weight‖ in the first steps
_PARTS = (0.1, 0.01, 0.001, 0.0001)
_GAIN = 0.03  # of the first loss, that a lower rate has to lower it by
_SHARE = 0.3  # of that gain, which the present rate reaches at most
_RISE, _LEVEL = 0.5, 0.1  # of the first loss, by which it rises, and by which a lower rate may raise it
_AFTER_A_JUMP = 2 / 3  # of that gain, after a jump of the loss
_MEMORY = 200.0  # steps over which a momentum averages
_USUAL = 0.9


def fast(obs: Observed, at_first: Mapping[str, float]) -> Iterator[Finding]:
    """`rate_too_large` if the loss rises or hardly falls, and does not at a rate 10 to 10,000 times lower.

    Args:
        obs: the observed setup, with an optimizer.
        at_first: ‖update‖/‖weight‖ of its weights in the first steps.
    """
    lr, free = common_rate(obs), obs.alone
    name = max(at_first, key=lambda n: at_first[n], default="")
    if not lr or not name or free.diverged:
        return
    start = free.mean_task_loss(slice(1))
    gain = start - free.last_task_loss
    rises = gain < -_RISE * start and at_first[name] > LARGE
    jumps = max(step.task_loss for step in free.steps) > (1 + _RISE) * start and at_first[name] > LARGE
    far = at_first[name] > _FAR and gain <= _SHARE * start
    if not start > 0 or not (rises or jumps or far):
        return
    share = _SHARE if far else _AFTER_A_JUMP
    for part in _PARTS:
        watched = watch_steps(obs.subject, obs.steps, penalties=0.0, decay=0.0, factor=part)
        lower = start - watched.last_task_loss
        enough = lower > -_LEVEL * start if rises else lower > _GAIN * start and gain <= share * lower
        if watched.diverged or not enough or not _is_calm(watched, name):
            continue
        new = float(f"{lr * part:.3g}")
        yield Finding(
            "rate_too_large",
            "optimizer.lr",
            "severe" if rises or far else "warning",
            {"lr": lr, "largest_update_over_weight": at_first[name], "gain": gain, "gain_at_lower": lower},
            why=f"With a learning rate of {lr:g} {name} moves by {at_first[name]:.2g} of its norm per step, and the "
            f"loss goes from {start:.4g} to {start - gain:.4g} in {obs.steps} steps; with {new:g} to "
            f"{start - lower:.4g}.",
            change=f"Use a learning rate of {new:g} (tried: {obs.steps} steps take the loss to {start - lower:.4g}).",
            remedy=Remedy("rate", value=new),
            blame=at_first[name] / GOOD,
        )
        return


def _is_calm(watched: WatchedSteps, name: str) -> bool:
    return max((step.updates.get(name, 0.0) for step in watched.steps[1:]), default=0.0) < LARGE


def momentum(obs: Observed) -> Iterator[Finding]:
    """`momentum_too_high`: a mean over so many steps that the rate counts many times, or the gradient comes late."""
    groups = obs.subject.optimizer.param_groups if obs.subject.optimizer else []
    found = [value for group in groups if isfinite(value := _momentum(group)) and 0 < value < 1]
    most = max(found, default=0.0)
    if most and 1 / (1 - most) > _MEMORY:
        steps = 1 / (1 - most)
        of_sgd = any("momentum" in group and group["momentum"] == most for group in groups)
        grows = (
            f"every gradient is applied {steps:,.0f} times over, so that the rate acts like one that much larger"
            if of_sgd
            else f"steps follow gradients that are {steps:,.0f} steps old"
        )
        yield Finding(
            "momentum_too_high",
            "optimizer.momentum" if of_sgd else "optimizer.betas",
            "warning",
            {"momentum": most, "steps": steps},
            why=f"A momentum of {most:g} averages over {steps:,.0f} steps: {grows}, long after the first steps.",
            change=f"Use a momentum of {_USUAL:g}.",
            remedy=Remedy("momentum", value=_USUAL) if of_sgd else None,
            blame=steps,
        )


def _momentum(group: Mapping[str, object]) -> float:
    betas = group.get("betas")
    value = group.get("momentum", betas[0] if isinstance(betas, tuple | list) and betas else 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
