"""Does the task tolerate a source: does the net keep what it has learnt, or learn as well with shrunk weights?"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod

import torch
from torch import Tensor

from regtorch.doctor.measure.pull import LATE, Measured, Source
from regtorch.doctor.observe.forces import norm_of
from regtorch.doctor.observe.starting_point import has_learnt, paired_and_unrelated
from regtorch.doctor.observe.steps import WatchedSteps

__all__ = ["Destination", "comes_as_low", "destination", "is_kept"]

_STAYS = 0.8  # of its norm: a weight near its equilibrium
_HARM = 0.05  # of the loss with other samples' targets
_AS_WELL = 0.8  # of the loss reduction
_LITTLE = 0.02  # of the first loss
_LARGE = 2.0  # times Glorot's deviation
_FASTER = 10.0  # times the learning rate


def is_kept(source: Source, measured: Measured) -> bool:
    """Whether a trained net keeps what it has learnt.

    Its task loss and gradient are almost 0, so any pull is large relative to them. The weights decide: they must be
    near their equilibrium, or shrink slowly.
    """
    pull = measured.pulls[measured.worst]
    if pull.half_life <= LATE and pull.equilibrium < _STAYS * pull.norm:
        return False
    obs = source.obs
    _, unrelated = paired_and_unrelated(obs)
    harm = obs.with_rules.last_task_loss - source.without.last_task_loss
    return has_learnt(obs) and harm < _HARM * unrelated


def comes_as_low(watched: WatchedSteps, free: WatchedSteps) -> bool:
    """Whether the task's loss falls almost as far as in steps without the source."""
    start, best = free.mean_task_loss(slice(1)), free.last_task_loss
    return watched.last_task_loss <= best + max((1 - _AS_WELL) * (start - best), _LITTLE * abs(start))


@dataclass(frozen=True)
class Destination:
    """The equilibrium to which a source shrinks the weights, and what the net learns from there."""

    over: float  # the initial size of the most pulled weight, relative to Glorot's initialisation
    part: float  # the smallest share of a weight's norm that is left
    loss: float  # the task's, at the end of steps from there
    free: float  # the same from the present weights, without the source


def _over_glorot(weight: Tensor) -> float:
    """A weight's root mean square relative to the deviation of Glorot's initialisation."""
    if weight.ndim < 2 or not weight.numel():
        return 0.0
    places = prod(weight.shape[2:])
    deviation = (2 / ((weight.shape[0] + weight.shape[1]) * places)) ** 0.5
    return norm_of(weight) / weight.numel() ** 0.5 / deviation


def destination(source: Source, measured: Measured) -> Destination | None:
    """What the net learns with weights shrunk to equilibrium; None if less than without the source, or unknown.

    Weights that start far larger than needed, such as embeddings of deviation 1, can be shrunk a lot without harm,
    however large the penalty is at first.
    """
    obs, pulls = source.obs, measured.pulls
    over = _over_glorot(source.parameters[measured.worst])
    if over < _LARGE:
        return None
    parts = {n: pull.equilibrium / pull.norm for n, pull in pulls.items() if pull.norm and isfinite(pull.equilibrium)}
    parts = {name: part for name, part in parts.items() if part < 1}
    if not parts or min(parts.values()) <= 0 or not comes_as_low(obs.with_rules, source.without):
        return None
    # A larger rate shows more in a few steps; the equilibrium does not depend on it.
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
