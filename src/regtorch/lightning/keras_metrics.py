"""Keras's metrics that are means over samples, as torchmetrics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["KerasMean"]


class KerasMean(Metric):
    """The mean over samples of Keras's values: `metric.update(outputs, targets, sample_weight=None)`.

    Args:
        name: Keras's name.
        values: maps outputs and targets to the value of each sample or position.
        root: whether the result is the root of the mean.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(
        self,
        name: str,
        values: Callable[[Tensor, Tensor], Tensor],
        *,
        root: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.values, self.root = name, values, root
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch.

        Raises:
            ValueError: the shapes do not fit each other.
        """
        values = self.values(outputs.detach(), targets)
        if sample_weight is None:
            self.total += _of_samples(values).sum()
            self.count += len(values)
            return
        weight = sample_weight.to(values.dtype)
        if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
            weight = weight.squeeze(-1)
        values = values.flatten(weight.ndim).mean(-1) if values.ndim > weight.ndim else values
        if weight.shape != values.shape:
            raise ValueError(
                f"{self.name}: sample_weight must have the shape of the values, {tuple(values.shape)}, or of their "
                f"first dims, received {tuple(sample_weight.shape)}"
            )
        self.total += _of_samples(values * weight).sum()
        self.count += _of_samples(weight).sum()

    def compute(self) -> Tensor:
        """The weighted mean, 0 without samples."""
        mean = torch.where(self.count == 0, 0.0, self.total / self.count)
        return mean.sqrt() if self.root else mean


def _of_samples(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1) if values.ndim > 1 else values
