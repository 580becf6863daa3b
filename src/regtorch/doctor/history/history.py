"""A training's history: each quantity by epoch, apart for training and validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = ["History", "Points", "thinned"]

Points = Mapping[float, float]
"""Values by epoch, in the order of epochs; an epoch without a value is absent, and a value may be NaN or infinite."""
_MOST = 1000  # epochs; further ones are averaged in groups


@dataclass(frozen=True)
class History:
    """Series of a training.

    Attributes:
        train: values of training by quantity ("loss", "task_loss", "penalty", "accuracy", …), then by epoch from 1.
        val: those of validation.
        lr: the learning rate by epoch; empty if unknown.
        unit: "epoch", or "step" where the source counts only steps.
        source: where it was read, for messages.
        classes: the number of classes, if known.
        val_samples: the number of validation samples, if known.
    """

    train: Mapping[str, Points]
    val: Mapping[str, Points]
    lr: Points = field(default_factory=dict)
    unit: str = "epoch"
    source: str = ""
    classes: int | None = None
    val_samples: int | None = None

    @property
    def epochs(self) -> Sequence[float]:
        """Epochs with a value, in order."""
        return sorted({epoch for points in (*self.train.values(), *self.val.values()) for epoch in points})

    @property
    def loss(self) -> str:
        """The quantity to compare between training and validation: the task loss if it is known."""
        known = "task_loss" in self.train and ("task_loss" in self.val or not self.val)
        return "task_loss" if known else "loss"


def thinned(history: History) -> History:
    """A history of at most 1000 epochs: means over equal groups of consecutive ones, named by their last epoch."""
    epochs = history.epochs
    if len(epochs) <= _MOST:
        return history
    size = -(-len(epochs) // _MOST)
    group = {epoch: epochs[min(len(epochs), number - number % size + size) - 1] for number, epoch in enumerate(epochs)}

    def means(points: Points) -> Points:
        parts: dict[float, list[float]] = {}
        for epoch, value in points.items():
            parts.setdefault(group[epoch], []).append(value)
        return {epoch: math.fsum(values) / len(values) for epoch, values in parts.items()}

    return replace(
        history,
        train={name: means(points) for name, points in history.train.items()},
        val={name: means(points) for name, points in history.val.items()},
        lr=means({epoch: rate for epoch, rate in history.lr.items() if epoch in group}),
    )
