"""Keras's losses of classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.checks import number, share
from regtorch.keras.losses.loss import EPSILON, CrossEntropy, Loss, clipped, same_shape

__all__ = [
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "SparseCategoricalCrossentropy",
]


def _probabilities(p: Tensor, axis: int) -> Tensor:
    """Keras makes probabilities sum to 1, then clips them."""
    return clipped(p / p.sum(axis, keepdim=True), EPSILON, 1 - EPSILON)


class CategoricalCrossentropy(CrossEntropy):
    """The sum -Σ y log p over the classes, p divided by their sum and clipped. See `CrossEntropy` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.CategoricalCrossentropy()
        >>> round(loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])).item(), 4)
        0.6931
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs, targets = same_shape(self, outputs, targets)
        return self.of_classes(outputs, self.smoothed(targets, targets.shape[-1])), None

    def of_classes(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of smoothed classes."""
        logs = outputs.log_softmax(self.axis) if self.from_logits else _probabilities(outputs, self.axis).log()
        return -(y * logs).sum(self.axis)


class CategoricalFocalCrossentropy(CategoricalCrossentropy):
    """The sum -Σ α (1 - p)^γ y log p over the classes.

    Args:
        alpha: α, a number, or one for each class.
        gamma: γ.
        from_logits: this and the rest: see `CrossEntropy`.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.CategoricalFocalCrossentropy()
        >>> round(loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])).item(), 4)
        0.0433
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
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
        self.gamma = number(owner, "gamma", gamma)
        if isinstance(alpha, list | tuple):
            self.alpha: float | list[float] = [number(owner, "alpha", part) for part in alpha]
        else:
            self.alpha = number(owner, "alpha", alpha)

    def of_classes(self, outputs: Tensor, y: Tensor) -> Tensor:
        p = _probabilities(outputs.softmax(self.axis) if self.from_logits else outputs, self.axis)
        alpha = torch.as_tensor(self.alpha, dtype=p.dtype, device=p.device)
        if alpha.ndim and alpha.shape != p.shape[-1:]:
            raise ValueError(
                f"{type(self).__name__}: alpha must be a number, or one for each of the {p.shape[-1]} classes, "
                f"received {len(alpha)} numbers"
            )
        return ((1 - p).pow(self.gamma) * alpha * (-y * p.log())).sum(self.axis)


class SparseCategoricalCrossentropy(CrossEntropy):
    """-log p of the target's class, p divided by their sum and clipped to 1e-7 … 1 - 1e-7.

    Targets are class numbers, of the outputs' shape without the classes, or with 1 in their place.

    Args:
        from_logits: this and the rest: see `CrossEntropy`.
        ignore_class: targets of this number do not count.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.SparseCategoricalCrossentropy()
        >>> round(loss(torch.tensor([[0.5, 0.5]]), torch.tensor([1])).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(from_logits, axis=axis, reduction=reduction, channels_last=channels_last)
        self.ignore_class = None if ignore_class is None else number(type(self).__name__, "ignore_class", ignore_class)

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        if outputs.ndim < 2:
            raise ValueError(
                f"{type(self).__name__}: outputs must have the shape (N, classes), received {tuple(outputs.shape)}; "
                "they come first, then the targets"
            )
        outputs = outputs.movedim(self.axis, 1)
        if targets.ndim == outputs.ndim and targets.shape[self.axis] == 1:
            targets = targets.squeeze(self.axis)
        if targets.shape != (outputs.shape[0], *outputs.shape[2:]):
            raise ValueError(
                f"{type(self).__name__}: targets must be class numbers of the shape "
                f"{(outputs.shape[0], *outputs.shape[2:])}, received the shape {tuple(targets.shape)}"
            )
        counted = None if self.ignore_class is None else targets != self.ignore_class
        if counted is not None:
            targets = torch.where(counted, targets, 0.0)
            outputs = torch.where(counted.unsqueeze(1), outputs, 1.0)
        logs = outputs.log_softmax(1) if self.from_logits else _probabilities(outputs, 1).log()
        values = F.nll_loss(logs.contiguous(), targets.long(), reduction="none")  # its gradient needs it
        return (values, None) if counted is None else (torch.where(counted, values, 0.0), counted)


class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 - p^q) / q, p the output of the target's class: between cross entropy (q → 0) and absolute error (q → 1).

    Targets are class numbers.

    Args:
        q: above 0 and below 1.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Source: Zhang and Sabuncu 2018, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels,
    arXiv:1805.07836.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.CategoricalGeneralizedCrossEntropy()
        >>> loss(torch.tensor([[0.25, 0.75]]), torch.tensor([0])).item()
        1.0
    """

    def __init__(
        self, q: float = 0.5, *, reduction: str | None = "sum_over_batch_size", channels_last: bool = True
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        self.q = share("CategoricalGeneralizedCrossEntropy", "q", q)

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        if targets.shape != outputs.shape[:-1]:
            raise ValueError(
                f"{type(self).__name__}: targets must be class numbers of the shape {tuple(outputs.shape[:-1])}, "
                f"received the shape {tuple(targets.shape)}"
            )
        p = outputs.gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)
        return (1 - p.pow(self.q)) / self.q, None
