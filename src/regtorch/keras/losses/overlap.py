"""Keras's losses of overlapping regions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regtorch.checks import number
from regtorch.keras.losses.loss import EPSILON, Loss, checked_axis, same_shape

__all__ = ["Dice", "Tversky"]


class Tversky(Loss):
    """1 - Σ y·o / (Σ y·o + α Σ (1 - o)·y + β Σ o·(1 - y) + 1e-7).

    Args:
        alpha: α, the weight of what the outputs miss.
        beta: β, the weight of what they add.
        axis: over which of Keras's axes the sums are; None: over all.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Source: Salehi et al. 2017, Tversky loss function for image segmentation, arXiv:1706.05721.

    Example:
        >>> import torch, regtorch as rt
        >>> y = torch.ones(1, 1, 2, 2)
        >>> round(rt.keras.losses.Tversky()(y / 2, y).item(), 4)
        0.3333
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        axis: int | Sequence[int] | None = None,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        owner = type(self).__name__
        self.alpha, self.beta = number(owner, "alpha", alpha), number(owner, "beta", beta)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        self.axis = None if axis is None else [checked_axis(owner, a) for a in axes]

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        both = (targets * outputs).sum(self.axis)
        missed = ((1 - outputs) * targets).sum(self.axis)
        added = (outputs * (1 - targets)).sum(self.axis)
        return 1 - both / (both + missed * self.alpha + added * self.beta + EPSILON), None


class Dice(Loss):
    """1 - 2 Σ y·o / (Σ y + Σ o + 1e-7).

    Args:
        axis: over which of Keras's axes the sums are; None: over all.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Example:
        >>> import torch, regtorch as rt
        >>> y = torch.ones(1, 1, 2, 2)
        >>> round(rt.keras.losses.Dice()(y / 2, y).item(), 4)
        0.3333
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = None,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        self.axis = None if axis is None else [checked_axis("Dice", a) for a in axes]

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        both = (targets * outputs).sum(self.axis)
        return 1 - 2 * both / (targets.sum(self.axis) + outputs.sum(self.axis) + EPSILON), None
