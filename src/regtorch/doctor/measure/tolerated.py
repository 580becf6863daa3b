"""Whether the task bears what pulls at its weights: it keeps what it has learnt, or learns as well where they go."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod

import torch
from torch import Tensor

from regtorch.doctor.measure.pull import LATE, Measured, Source
from regtorch.doctor.watch.forces import norm_of
from regtorch.doctor.watch.start import paired_and_unrelated
from regtorch.doctor.watch.steps import WatchedSteps

__all__ = ["Destination", "comes_as_low", "destination", "is_kept"]

_STAYS = 0.8  # of its norm, for a weight that is near its equilibrium, or does not go on shrinking where it was taken
_LEARNT, _HARM = 0.5, 0.05  # of the loss of outputs with other samples' targets: a loss that is learnt, a harm
_AS_WELL = 0.8  # of the loss's fall
_LITTLE = 0.02  # of the first loss
_LARGE = 2.0  # times Glorot's deviation
_FASTER = 10.0  # times the learning rate


def is_kept(source: Source, measured: Measured) -> bool:
    """Whether a net that has learnt keeps what it has learnt.

    Its task loss and gradient are next to 0, so that any pull is large beside them. What tells is whether the
    weights stay: they grow without the source by as much as it takes, or are hardly taken from.
    """
    pull = measured.pulls[measured.worst]
    if pull.half_life <= LATE and pull.equilibrium < _STAYS * pull.norm:
        return False
    obs = source.obs
    paired, unrelated = paired_and_unrelated(obs)
    harm = obs.with_rules.last_task_loss - source.without.last_task_loss
    return 0 <= paired < _LEARNT * unrelated and harm < _HARM * unrelated


def comes_as_low(watched: WatchedSteps, free: WatchedSteps) -> bool:
    """Whether the task's loss falls, but for a little, as far as in steps without the source."""
    start, best = free.mean_task_loss(slice(1)), free.last_task_loss
    return watched.last_task_loss <= best + max((1 - _AS_WELL) * (start - best), _LITTLE * abs(start))


@dataclass(frozen=True)
class Destination:
    """Where a source takes the weights, and what is learnt from there under it.

    Attributes:
        over: how many times larger than Glorot's initialisation the weight starts that is pulled at the most.
        part: of the weights' norms that is left, of the one that shrinks the most.
        loss: the task's, mean over the last of the watched steps that begin there.
        free: the same of those that begin where the weights are, without the source.
    """

    over: float
    part: float
    loss: float
    free: float


def _over_glorot(weight: Tensor) -> float:
    """A weight's root mean square over the deviation that Glorot's initialisation draws it with."""
    if weight.ndim < 2 or not weight.numel():
        return 0.0
    places = prod(weight.shape[2:])
    deviation = (2 / ((weight.shape[0] + weight.shape[1]) * places)) ** 0.5
    return norm_of(weight) / weight.numel() ** 0.5 / deviation


def destination(source: Source, measured: Measured) -> Destination | None:
    """What is learnt where the source takes the weights; None where that is less than without it, or cannot be told.

    Weights that start far larger than the task needs, such as embeddings of deviation 1, can be taken down a long way
    without harm, however large the penalty is beside the task at first.
    """
    obs, pulls = source.obs, measured.pulls
    over = _over_glorot(source.parameters[measured.worst])
    if over < _LARGE:
        return None
    parts = {n: pull.equilibrium / pull.norm for n, pull in pulls.items() if pull.norm and isfinite(pull.equilibrium)}
    parts = {name: part for name, part in parts.items() if part < 1}
    if not parts or min(parts.values()) <= 0 or not comes_as_low(obs.with_rules, source.without):
        return None
    # A larger rate shows more in as few steps: where the two meet does not depend on it.
    free = source.at(0.0, obs.steps, factor=_FASTER)
    factor = _FASTER if not free.diverged and free.last_task_loss < source.without.last_task_loss else 1.0
    free = source.without if factor == 1 else free
    if not free.falls:
        return None
    with obs.subject.restored():
        with torch.no_grad():
            for name, part in parts.items():
                source.parameters[name].mul_(part)
        there = source.at(1.0, obs.steps, factor)
    shrunk = min(there.norms[name] / (part * pulls[name].norm) for name, part in parts.items())
    if there.diverged or shrunk < _STAYS or not comes_as_low(there, free):
        return None
    return Destination(over, min(parts.values()), there.last_task_loss, free.last_task_loss)
