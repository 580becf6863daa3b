"""Keras's means and sums of values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from regtorch.keras.losses.loss import aligned, divided
from regtorch.lightning.keras_metrics.metric import KerasMetric, weights_like

__all__ = ["KerasMean", "Mean", "MeanTensor", "Sum"]


class KerasMean(KerasMetric):
    """The mean over samples of Keras's values: `metric.update(outputs, targets, sample_weight=None, mask=None)`.

    Args:
        name: Keras's name.
        values: maps outputs and targets in Keras's layout to the value of each sample or position.
        root: whether the result is the root of the mean.
        channels_last: whether the Keras net is channels last.
    """

    total: Tensor
    count: Tensor

    def __init__(
        self,
        name: str,
        values: Callable[[Tensor, Tensor], Tensor],
        *,
        root: bool = False,
        channels_last: bool = True,
    ) -> None:
        super().__init__(name, channels_last=channels_last)
        self.values, self.root = values, root
        self.add_sum("total")
        self.add_sum("count")

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        values = self.values(outputs, targets)
        if mask is not None:
            on = mask.to(values.dtype)
            if weight is not None:
                on, weight = aligned(on, weight.to(values.dtype))
                weight = weights_like(self.name, weight, on) * on
            else:
                weight = on
        self.take(values, weight)

    def take(self, values: Tensor, weight: Tensor | None) -> None:
        """Add values (N, …) with weights of their shape or of their first dims."""
        if weight is None:
            self.total += _by_sample(values).sum()
            self.count += len(values) if values.ndim else 1
            return
        values, weight = aligned(values, weight)
        values = values.flatten(weight.ndim).mean(-1) if values.ndim > weight.ndim else values
        weight = weights_like(self.name, weight, values)
        self.total += _by_sample(values * weight).sum()
        self.count += _by_sample(weight).sum()

    def compute(self) -> Tensor:
        """The weighted mean, 0 without samples."""
        mean = divided(self.total, self.count)
        return mean.sqrt() if self.root else mean


class Mean(KerasMean):
    """The mean over samples of values (N, …): `metric.update(values, sample_weight=None)`."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name, lambda values, _: values)

    def update(self, values: Tensor, sample_weight: Tensor | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Add values, with weights of their shape or of their first dims."""
        self.take(values.detach(), sample_weight)


class Sum(Mean):
    """The weighted sum of values: `metric.update(values, sample_weight=None)`."""

    def take(self, values: Tensor, weight: Tensor | None) -> None:
        if weight is not None:
            values, weight = aligned(values, weight)
            values = values.flatten(weight.ndim).sum(-1) if values.ndim > weight.ndim else values
            values = values * weights_like(self.name, weight, values)
        self.total += values.sum()

    def compute(self) -> Tensor:
        """The sum."""
        return self.total.clone()


class MeanTensor(Mean):
    """Keras 2's mean of each element of tensors of one shape: `metric.update(values, sample_weight=None)`."""

    def take(self, values: Tensor, weight: Tensor | None) -> None:
        weight = torch.ones_like(values) if weight is None else weight
        weight = weight.reshape(*weight.shape, *[1] * (values.ndim - weight.ndim)) if weight.ndim else weight
        weight = weights_like(self.name, weight, values)
        self.total = self.total + values * weight
        self.count = self.count + weight


def _by_sample(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1) if values.ndim > 1 else values
