"""The base of Keras's metrics: its layout, its sample weights and masks."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torchmetrics import Metric

from regtorch.keras.losses.loss import aligned
from regtorch.keras.spec import Axes

__all__ = ["KerasMetric", "weights_like"]


class KerasMetric(Metric):
    """A metric of Keras: `metric.update(outputs, targets, sample_weight=None, mask=None)`.

    Outputs of four dims or more are images or volumes and channels first; they, and targets and weights of the same
    rank, are taken in Keras's layout. States are float64 sums, which add up over processes.

    Args:
        name: Keras's name.
        channels_last: whether the Keras net is channels last.
    """

    full_state_update = False

    def __init__(self, name: str, *, channels_last: bool = True) -> None:
        super().__init__()
        self.name, self.axes = name, Axes(channels_last)

    def add_sum(self, name: str, *shape: int) -> None:
        """Add a state, a sum that starts at 0; one of no dims may grow to the shape of what is added."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self, outputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Add a batch.

        Raises:
            ValueError: the shapes do not fit each other.
        """
        rank = outputs.ndim
        outputs = outputs.detach()
        if outputs.dtype in (torch.float16, torch.bfloat16):
            outputs = outputs.float()
        targets = self.axes.to_keras(targets) if targets.ndim == rank else targets
        if sample_weight is not None and sample_weight.ndim == rank:
            sample_weight = self.axes.to_keras(sample_weight)
        self.add(self.axes.to_keras(outputs), targets, sample_weight, mask)

    @abstractmethod
    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        """Add a batch in Keras's layout. As in Keras, only means of values heed the mask."""

    def same_shape(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and targets of one shape, up to a last dim of 1, and of the outputs' dtype.

        Raises:
            ValueError: they have different shapes.
        """
        outputs, targets = aligned(outputs, targets.to(outputs.dtype))
        if outputs.shape != targets.shape:
            raise ValueError(
                f"{self.name}: targets must have the shape of the outputs, {tuple(outputs.shape)} in Keras's layout, "
                f"received {tuple(targets.shape)}"
            )
        return outputs, targets


def weights_like(name: str, weight: Tensor, values: Tensor) -> Tensor:
    """Sample weights for each of the values, which have as many dims or more.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    fits = weight.ndim in (0, values.ndim) and all(
        n in (1, m) for n, m in zip(weight.shape, values.shape[: weight.ndim], strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name}: sample_weight must have the shape of the values, {tuple(values.shape)}, or of their first dims, "
            f"received {tuple(weight.shape)}"
        )
    return weight.to(values.dtype).expand_as(values)
