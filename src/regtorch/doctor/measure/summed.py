"""Whether the loss is a sum over the batch: then a strength is worth as much less as a batch has samples."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot, isfinite

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.watch.observed import Observed
from regtorch.penalties import Penalty

__all__ = ["find"]

_NEAR = 1e-3  # of the ratio of two losses
_WEAK = 1e-2  # the penalty's gradient over the task's, below which it does next to nothing


def find(obs: Observed) -> Iterator[Finding]:
    """`summed_loss`: a warning where the sum alone is why the penalty does next to nothing."""
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
    worth = "" if rule is None else f": {rule!r} does what {rule.scaled(1 / samples)!r} does beside the mean"
    instead = "" if rule is None else f", which makes it {rule.scaled(samples)!r}"
    yield Finding(
        "summed_loss",
        "loss",
        "warning" if hidden else "info",
        {"of_twice_the_batch": ratio, "samples": float(samples)} | ({} if pull is None else {"pull": pull}),
        why=f"The loss is a sum over the batch: of a batch of {samples} twice over it is {fmt(ratio)} times as large. "
        f"A strength beside it is worth 1/{samples} of what it is beside the mean{worth}, and another batch size "
        "changes that.",
        change=f"Take the mean over the batch, or make strengths {samples} times as large{instead} "
        '(rt.convert(..., reduction="sum", batch=...)).',
    )


def _of_repeated(obs: Observed, output: object, target: Tensor, times: int) -> float | None:
    """The loss of the first batch several times over, over that of it once; None where it is none or 0."""
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != len(target):
        return None
    once = obs.loss.value
    several = obs.loss.cost(torch.cat([output] * times), torch.cat([target] * times))
    if several is None or not isfinite(once) or not isfinite(several) or once == 0:
        return None
    return several / once


def _strongest(obs: Observed) -> Penalty | None:
    """A penalty that acts, to be named, with its scale in its strengths."""
    for factor, term in obs.subject.terms:
        if factor and term.rule.active and term.rule.strengths:
            return term.rule if factor == 1 else term.rule.scaled(factor)
    return None


def _pull(obs: Observed) -> float | None:
    """The penalties' gradient over the task's, in the watched steps."""
    forces = [one for step in obs.with_rules.steps for one in step.forces.values()]
    task, penalty = (hypot(*(getattr(one, what) for one in forces)) for what in ("task", "penalty"))
    return penalty / task if forces and task and isfinite(penalty / task) else None
