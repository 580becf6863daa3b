"""Keras's hinge losses."""

from __future__ import annotations

import torch
from torch import Tensor

from regtorch.keras.losses.loss import Loss, same_shape

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


class Hinge(Loss):
    """The mean of max(1 - y·o, 0); targets of 0 and 1 are taken as -1 and 1. See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.Hinge()(torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, 0.0]])).item()
        0.5
    """

    power = 1

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        binary = ((targets == 0) | (targets == 1)).all()
        signs = torch.where(binary, 2 * targets - 1, targets)
        return (1 - signs * outputs).clamp(min=0).pow(self.power).mean(-1), None


class SquaredHinge(Hinge):
    """The mean of max(1 - y·o, 0)²; targets of 0 and 1 are taken as -1 and 1. See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.SquaredHinge()(torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, 0.0]])).item()
        0.25
    """

    power = 2


class CategoricalHinge(Loss):
    """The sum max(n - p + 1, 0), p = Σ y·o and n the largest (1 - y)·o. See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.CategoricalHinge()(torch.tensor([[0.5, 0.25]]), torch.tensor([[1.0, 0.0]])).item()
        0.75
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        positive = (targets * outputs).sum(-1)
        return (((1 - targets) * outputs).amax(-1) - positive + 1).clamp(min=0), None
