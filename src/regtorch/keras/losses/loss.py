"""The base of Keras's losses: its layouts, sample weights, masks and reductions."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from regtorch.checks import ArgumentTypeError, flag, number, one_of
from regtorch.keras.spec import Axes

__all__ = ["EPSILON", "CrossEntropy", "Loss", "aligned", "checked_axis", "clipped", "divided", "same_shape"]

EPSILON = 1e-7  # Keras's backend epsilon, to which probabilities are clipped
_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss(nn.Module):
    """A loss of Keras as a torch module: `loss(outputs, targets, sample_weight=None, mask=None)`.

    The arguments are in torch's order. Outputs of four dims or more are images or volumes and channels first, as those
    of nets from `from_config`; they, and targets of the same rank, are taken in Keras's layout, so that an `axis` of -1
    is the channels. Outputs of float16 and bfloat16 are computed in float32, others in their own dtype.

    `sample_weight` has the shape of the values, (N,) for outputs (N, classes), with or without a last dim of 1. Where
    `mask` is False a value does not count. Reductions: "sum_over_batch_size" and "mean" divide the weighted sum by the
    number of values (of those that count, with a mask), "mean_with_sample_weight" by the sum of the weights; "sum" does
    not divide, and "none" returns the values, in Keras's layout.

    Args:
        reduction: how the values become one number.
        channels_last: whether the Keras net was channels last; then images are channels first here alone.
    """

    def __init__(self, *, reduction: str | None = "sum_over_batch_size", channels_last: bool = True) -> None:
        super().__init__()
        self.reduction = one_of(type(self).__name__, "reduction", reduction, _REDUCTIONS)
        self.axes = Axes(flag(type(self).__name__, "channels_last", channels_last))

    @abstractmethod
    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each sample or position in Keras's layout, and a mask of those that count, or None."""

    def forward(
        self, outputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """The reduced loss.

        Raises:
            TypeError: outputs or targets are not a tensor.
            ValueError: the shapes of the arguments do not fit each other.
        """
        for name, given in (("outputs", outputs), ("targets", targets)):
            if not isinstance(given, Tensor):
                raise ArgumentTypeError(
                    f"{type(self).__name__}: {name} must be a tensor, received {type(given).__name__}; make one by "
                    "torch.as_tensor"
                )
        rank = outputs.ndim
        if outputs.dtype in (torch.float16, torch.bfloat16):
            outputs = outputs.float()
        outputs = self.axes.to_keras(outputs)
        targets = (self.axes.to_keras(targets) if targets.ndim == rank else targets).to(outputs.dtype)
        values, counted = self.values(outputs, targets)
        parts = [m for m in (mask, counted) if m is not None]
        if parts:
            mask = parts[0] if len(parts) == 1 else parts[0] & parts[1]
        weight = None
        if sample_weight is not None:
            weight = sample_weight.to(values.dtype)
            weight = self.axes.to_keras(weight) if weight.ndim == rank else weight
        return self._reduced(values, self._masked(weight, mask, values.dtype))

    def _masked(self, weight: Tensor | None, mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """The weights where the mask is on, raised so that a mean is over what counts."""
        if mask is None:
            return weight
        on = mask.to(dtype)
        if self.reduction in ("mean", "sum_over_batch_size"):
            on = on * divided(torch.full_like(on.sum(), on.numel()), on.sum())
        if weight is None:
            return on
        on, weight = aligned(on, weight)
        return weight * on

    def _reduced(self, values: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None:
            values, weight = aligned(values, weight)
            if values.ndim and weight.ndim not in (0, values.ndim):
                raise ValueError(
                    f"{type(self).__name__}: sample_weight and mask must have the shape of the values, "
                    f"{tuple(values.shape)}, received {tuple(weight.shape)}; give a weight of each sample a dim of 1 "
                    "for each further dim"
                )
            values = values * weight
        if self.reduction in ("none", None) or values.ndim == 0:
            return values
        total = values.sum()
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weight is not None:
            return divided(total, weight.sum())
        return divided(total, torch.full_like(total, values.numel()))

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropy(Loss):
    """What Keras's cross entropies share.

    Args:
        from_logits: whether outputs are logits; they are not clipped.
        label_smoothing: s: y ← y (1 - s) + s / n of n classes; n is 2 for independent probabilities.
        axis: which of Keras's axes the classes are; for independent probabilities, over which axis the mean is.
        reduction: see `Loss`.
        channels_last: see `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        owner = type(self).__name__
        self.from_logits = flag(owner, "from_logits", from_logits)
        self.label_smoothing = number(owner, "label_smoothing", label_smoothing, low=0, high=1)
        self.axis = checked_axis(owner, axis)

    def smoothed(self, targets: Tensor, classes: int) -> Tensor:
        """The targets with label smoothing."""
        s = self.label_smoothing
        return targets * (1 - s) + s / classes if s else targets


def divided(a: Tensor, b: Tensor) -> Tensor:
    """`a / b`, and 0 where b is 0."""
    zero = b == 0
    return torch.where(zero, torch.zeros_like(a), a / torch.where(zero, torch.ones_like(b), b))


def clipped(x: Tensor, low: float, high: float | None = None) -> Tensor:
    """`x` within bounds. As in Keras, half of the gradient passes at a bound, where `x.clamp` with numbers varies."""
    return x.clamp(x.new_full((), low), None if high is None else x.new_full((), high))


def aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors in which a last dim of 1 that only one of them has is removed, or given to a vector."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b.unsqueeze(-1)) if b.ndim == 1 else (a.squeeze(-1), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a.unsqueeze(-1), b) if a.ndim == 1 else (a, b.squeeze(-1))
    return a, b


def same_shape(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets of one shape, up to a last dim of 1.

    Raises:
        ValueError: they have different shapes.
    """
    outputs, targets = aligned(outputs, targets)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"{type(loss).__name__}: targets must have the shape of the outputs, {tuple(outputs.shape)} in Keras's "
            f"layout, received {tuple(targets.shape)}"
        )
    return outputs, targets


def checked_axis(owner: str, axis: object) -> int:
    """An axis of Keras's layout.

    Raises:
        TypeError: it is not a whole number.
    """
    if type(axis) is not int:
        raise ArgumentTypeError(f"{owner}: axis must be a whole number, received {axis!r}")
    return axis
