"""Keras's losses of regressions."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.checks import number
from regtorch.keras.losses.loss import EPSILON, Loss, checked_axis, clipped, same_shape

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
]


class _Mean(Loss):
    """A mean over the last of Keras's axes of a loss of each element."""

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.elements(*same_shape(self, outputs, targets)).mean(-1), None

    @abstractmethod
    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each element."""


class MeanSquaredError(_Mean):
    """The mean of (o - y)²; see `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.MeanSquaredError()(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]])).item()
        2.0
    """

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square()


class MeanAbsoluteError(_Mean):
    """The mean of |o - y|; see `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.MeanAbsoluteError()(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]])).item()
        1.0
    """

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs()


class MeanAbsolutePercentageError(_Mean):
    """100 times the mean of |y - o| / max(|y|, 1e-7); see `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.MeanAbsolutePercentageError()(torch.tensor([[1.0]]), torch.tensor([[2.0]])).item()
        50.0
    """

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 100 * ((targets - outputs) / clipped(targets.abs(), EPSILON)).abs()


class MeanSquaredLogarithmicError(_Mean):
    """The mean of (log(1 + o) - log(1 + y))², o and y of at least 1e-7; see `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.MeanSquaredLogarithmicError()(torch.tensor([[1.0]]), torch.tensor([[1.0]])).item()
        0.0
    """

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logs = [(clipped(x, EPSILON) + 1).log() for x in (outputs, targets)]
        return (logs[0] - logs[1]).square()


class LogCosh(_Mean):
    """The mean of log cosh(o - y); see `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.LogCosh()(torch.tensor([[1.0]]), torch.tensor([[1.0]])).item()
        0.0
    """

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        x = outputs - targets
        return x + F.softplus(-2 * x) - math.log(2)


class Huber(_Mean):
    """The mean of e² / 2 where |e| ≤ δ, and of δ|e| - δ² / 2 elsewhere, e = o - y.

    Args:
        delta: δ.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.Huber()(torch.tensor([[3.0]]), torch.tensor([[0.0]])).item()
        2.5
    """

    def __init__(
        self, delta: float = 1.0, *, reduction: str | None = "sum_over_batch_size", channels_last: bool = True
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        self.delta = number("Huber", "delta", delta)

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        e = outputs - targets
        return torch.where(e.abs() <= self.delta, e.square() / 2, self.delta * e.abs() - self.delta**2 / 2)


class CosineSimilarity(Loss):
    """Minus the cosine of o and y: Keras's loss is -1 for equal directions.

    Args:
        axis: along which vectors lie, in Keras's layout.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.CosineSimilarity()(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item()
        -1.0
    """

    def __init__(
        self, axis: int = -1, *, reduction: str | None = "sum_over_batch_size", channels_last: bool = True
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        self.axis = checked_axis("CosineSimilarity", axis)

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        first, second = (_normalized(x, self.axis) for x in same_shape(self, outputs, targets))
        return -(first * second).sum(self.axis), None


def _normalized(x: Tensor, axis: int) -> Tensor:
    """The direction; Keras bounds the square of the norm from below by the square of its epsilon."""
    return x * x.square().sum(axis, keepdim=True).clamp(min=EPSILON**2).rsqrt()
