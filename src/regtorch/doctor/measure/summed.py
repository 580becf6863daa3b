"""A loss that is a sum over the batch: strengths are then weaker by the factor of the batch size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding, Unfit, fmt
from regtorch.doctor.measure.dead_units import are_idle
from regtorch.doctor.measure.weaker import scaled
from regtorch.doctor.observe.forces import totals
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.remedy import Remedy
from regtorch.penalties import Penalty

__all__ = ["find"]

_NEAR = 1e-3  # of the ratio of two losses
_WEAK = 1e-2  # the penalty's gradient relative to the task's, below which it has no effect

_TOO_LARGE = (
    "Its gradients are too large for the learning rate: as a mean it falls, and as it is it does not, or units die. "
)


def find(obs: Observed) -> Iterator[Finding]:
    """`summed_loss`: a warning if the sum alone makes the penalty ineffective."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    samples = len(target) if target.ndim else 0
    ratio = _of_repeated(obs, output, target, 2) if samples > 1 else None
    if ratio is None or abs(ratio - 2) > _NEAR:
        return
    thrice = _of_repeated(obs, output, target, 3)
    if thrice is None or abs(thrice - 3) > _NEAR:
        return
    rule, pull = _strongest(obs), _pull(obs)
    hidden = pull is not None and pull < _WEAK <= pull * samples
    breaks = _breaks(obs, samples)
    worth = "" if rule is None else f": {rule!r} acts like {rule.scaled(1 / samples)!r} with a mean"
    instead = "" if rule is None else f", here {rule.scaled(samples)!r}"
    yield Finding(
        "summed_loss",
        "loss",
        "severe" if breaks else "warning" if hidden else "info",
        {"of_twice_the_batch": ratio, "samples": float(samples)} | ({} if pull is None else {"pull": pull}),
        why=f"The loss is a sum over the batch: repeating a batch of {samples} makes it {fmt(ratio)} times as large. "
        + (_TOO_LARGE * breaks)
        + f"A strength then has 1/{samples} of its effect with a mean{worth}; it depends on the batch size.",
        change=f"Use the mean over the batch, or multiply strengths by {samples}{instead} "
        '(rt.convert(..., reduction="sum", batch=...)).',
        remedy=Remedy("mean loss") if breaks and _has_reduction(obs) else _remedy(obs, samples),
    )


def _remedy(obs: Observed, samples: int) -> Remedy | None:
    """Strengths that act as with a mean; without penalties the loss's own reduction, if it is a setting."""
    if obs.subject.terms or obs.subject.activities:
        return scaled(obs.subject, list(obs.subject.penalised), float(samples), decay=False)
    return Remedy("mean loss") if _has_reduction(obs) else None


def _has_reduction(obs: Observed) -> bool:
    return getattr(obs.subject.loss_fn, "reduction", None) == "sum"


def _breaks(obs: Observed, samples: int) -> bool:
    """Whether the steps hardly lower the loss or idle units, and those of a mean do neither."""
    if _goes_well(obs):
        return False
    loss = obs.subject.loss_fn

    def divided(by: int) -> Observed:
        return Observed(replace(obs.subject, loss_fn=lambda output, y: loss(output, y) / by), obs.steps)

    try:  # over samples, or over all numbers
        return any(_goes_well(divided(by)) for by in {samples, obs.subject.batches[0][1].numel()})
    except Unfit:
        return False


def _goes_well(obs: Observed) -> bool:
    return obs.with_rules.falls and not obs.with_rules.diverged and not are_idle(obs)


def _of_repeated(obs: Observed, output: object, target: Tensor, times: int) -> float | None:
    """The loss of the repeated first batch over that of the batch itself; None if undefined."""
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != len(target):
        return None
    once = obs.loss.value
    several = obs.loss.cost(torch.cat([output] * times), torch.cat([target] * times))
    if several is None or not isfinite(once) or not isfinite(several) or once == 0:
        return None
    return several / once


def _strongest(obs: Observed) -> Penalty | None:
    """An active penalty to name, with its scale in its strengths."""
    for factor, term in obs.subject.terms:
        if factor and term.rule.active and term.rule.strengths:
            return term.rule if factor == 1 else term.rule.scaled(factor)
    return None


def _pull(obs: Observed) -> float | None:
    """The penalties' gradient relative to the task's, in the watched steps."""
    penalty, task = totals(forces for step in obs.with_rules.steps for forces in step.forces.values())
    return penalty / task if task and isfinite(penalty / task) else None
