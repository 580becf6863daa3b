"""The score of every member over an epoch: accuracy, or R²."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vmap

from regtorch.lightning.tasks import Task

__all__ = ["Score", "score_for"]

Score = Callable[[Tensor, Tensor], Tensor]
"""From one member's outputs and targets of a batch to numbers that are added up over batches."""


def score_for(task: Task) -> tuple[Score, Callable[[Tensor], Tensor]]:
    """How a task's score is added up, and what the members' sums (members, numbers) come to."""
    if task.score == "r2":
        return _moments, vmap(_r2)

    def correct(outputs: Tensor, targets: Tensor) -> Tensor:
        predicted = task.predict(outputs)
        if predicted.ndim > targets.ndim:
            predicted = predicted.argmax(1)
        right = (predicted == targets).sum()
        return torch.stack((right, torch.full_like(right, targets.numel()))).double()

    return correct, lambda sums: sums[:, 0] / sums[:, 1]


def _moments(outputs: Tensor, targets: Tensor) -> Tensor:
    """What R² is made of, an output a column."""
    outputs, targets = outputs.double(), targets.double()
    count = torch.full_like(targets[0], len(targets))
    return torch.stack((count, targets.sum(0), targets.square().sum(0), (targets - outputs).square().sum(0)))


def _r2(sums: Tensor) -> Tensor:
    """1 - (what is left) / (the targets' spread), the mean over outputs; NaN of a single sample, as in a run."""
    count, total, squares, left = sums
    spread = squares - total * total / count
    there = spread > 0
    score = torch.where(there, 1 - left / torch.where(there, spread, 1.0), (left == 0).double()).mean()
    return torch.where(count[0] > 1, score, torch.nan)
