"""Where a net starts: with outputs far larger than the task wants them, or with all learnt."""

from __future__ import annotations

from math import nan
from statistics import fmean

import torch
from torch import Tensor

from regtorch.doctor.finding import Unfit
from regtorch.doctor.watch.observed import Observed

__all__ = ["loss_of_zeros", "paired_and_unrelated", "starts_large"]

_TOO_LARGE = 4.0  # times the loss of outputs of 0: outputs and targets of unit variance cost twice that, and no more


def starts_large(obs: Observed) -> bool:
    """Whether the first loss is far above that of outputs of 0: what makes weights smaller then helps the task."""
    steps = obs.with_rules.steps
    return bool(steps) and steps[0].task_loss > _TOO_LARGE * loss_of_zeros(obs) > 0


def loss_of_zeros(obs: Observed) -> float:
    """The first batch's loss with outputs of 0; not a number where it takes none."""
    output, (_, y) = obs.outputs[0], obs.subject.batches[0]
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return nan
    try:
        with obs.subject.restored(), torch.no_grad():
            return float(obs.subject.task_loss(torch.zeros_like(output), y))
    except Unfit:
        return nan


def paired_and_unrelated(obs: Observed) -> tuple[float, float]:
    """The loss of the outputs with their targets, and with those of other samples."""
    found: list[tuple[float, float]] = []
    with torch.no_grad():
        for output, (_, y) in zip(obs.outputs, obs.subject.batches, strict=False):
            if isinstance(output, Tensor) and output.ndim and len(output) > 1:
                other = output.roll(1 + len(output) // 2, 0)
                try:
                    found.append((float(obs.subject.task_loss(output, y)), float(obs.subject.task_loss(other, y))))
                except Unfit:
                    continue
    return (fmean(a for a, _ in found), fmean(b for _, b in found)) if found else (nan, nan)
