"""Keras's losses of independent probabilities, counts and distributions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from regtorch.checks import flag, number
from regtorch.keras.losses.loss import EPSILON, CrossEntropy, Loss, clipped, same_shape

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "KLDivergence", "Poisson"]


def _crossentropy(p: Tensor, y: Tensor) -> Tensor:
    p = clipped(p, EPSILON, 1 - EPSILON)
    return -(y * p.log() + (1 - y) * (1 - p).log())


class BinaryCrossentropy(CrossEntropy):
    """The mean of -y log p - (1 - y) log(1 - p), p clipped to 1e-7 … 1 - 1e-7. See `CrossEntropy` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.BinaryCrossentropy(from_logits=True)
        >>> round(loss(torch.zeros(4, 1), torch.ones(4)).item(), 4)
        0.6931
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        return self.elements(outputs, self.smoothed(targets, 2)).mean(self.axis), None

    def elements(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each element."""
        if self.from_logits:
            return F.binary_cross_entropy_with_logits(outputs, y, reduction="none")
        return _crossentropy(outputs, y)


class BinaryFocalCrossentropy(BinaryCrossentropy):
    """Binary cross entropy times (1 - q)^γ, q = y·p + (1 - y)(1 - p), and times α or 1 - α with class balancing.

    Args:
        apply_class_balancing: whether to weigh ones by α and zeros by 1 - α.
        alpha: α.
        gamma: γ.
        from_logits: this and the rest: see `CrossEntropy`.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.BinaryFocalCrossentropy(from_logits=True)
        >>> round(loss(torch.zeros(4, 1), torch.ones(4)).item(), 4)
        0.1733
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction=reduction, channels_last=channels_last)
        owner = type(self).__name__
        self.balanced = flag(owner, "apply_class_balancing", apply_class_balancing)
        self.alpha, self.gamma = number(owner, "alpha", alpha), number(owner, "gamma", gamma)

    def elements(self, outputs: Tensor, y: Tensor) -> Tensor:
        p = outputs.sigmoid() if self.from_logits else outputs
        hit = y * p + (1 - y) * (1 - p)
        focal = (1 - hit).pow(self.gamma) * _crossentropy(p, y)
        return (y * self.alpha + (1 - y) * (1 - self.alpha)) * focal if self.balanced else focal


class Poisson(Loss):
    """The mean of o - y log(o + 1e-7). See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> round(rt.keras.losses.Poisson()(torch.ones(2, 1), torch.ones(2, 1)).item(), 4)
        1.0
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        return (outputs - targets * (outputs + EPSILON).log()).mean(-1), None


class KLDivergence(Loss):
    """The sum of y log(y / p), both clipped to 1e-7 … 1. See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> p = torch.tensor([[0.25, 0.75]])
        >>> rt.keras.losses.KLDivergence()(p, p).item()
        0.0
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        p, y = clipped(outputs, EPSILON, 1), clipped(targets, EPSILON, 1)
        return (y * (y / p).log()).sum(-1), None
