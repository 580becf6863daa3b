"""The score of every member over an epoch: accuracy or R²."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from regtorch.lightning.tasks import Task

__all__ = ["Score", "score_for"]

Score = Callable[[Tensor, Tensor], Tensor]
"""Maps one member's outputs and targets to statistics that are summed over batches."""


def score_for(task: Task) -> tuple[Score, Callable[[Tensor], Tensor]]:
    """The statistics of a task's score, and the function from their sums (members, statistics) to scores."""
    if task.score == "r2":
        return _moments, vmap(_r2)

    def correct(outputs: Tensor, targets: Tensor) -> Tensor:
        predicted = task.predict(outputs)
        if predicted.ndim > targets.ndim:
            # The same as argmax, which is slow where classes are not the last dim in memory.
            predicted = predicted.max(1).indices
        right = (predicted == targets).sum()
        return torch.stack((right, torch.full_like(right, targets.numel()))).double()

    return correct, lambda sums: sums[:, 0] / sums[:, 1]


def _moments(outputs: Tensor, targets: Tensor) -> Tensor:
    """The statistics of R², one column per output."""
    outputs, targets = outputs.double(), targets.double()
    count = torch.full_like(targets[0], len(targets))
    return torch.stack((count, targets.sum(0), targets.square().sum(0), (targets - outputs).square().sum(0)))


def _r2(sums: Tensor) -> Tensor:
    """1 - residual / total sum of squares, averaged over outputs; NaN for a single sample, as in a run."""
    count, total, squares, residual = sums
    variation = squares - total * total / count
    varies = variation > 0
    score = torch.where(varies, 1 - residual / torch.where(varies, variation, 1.0), (residual == 0).double()).mean()
    return torch.where(count[0] > 1, score, torch.nan)
