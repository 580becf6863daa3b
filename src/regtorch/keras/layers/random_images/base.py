"""What Keras's random image layers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from regtorch.keras.layers.images import ImageLayer
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec

__all__ = ["RandomImages", "chosen", "drawn", "factors"]


class RandomImages(ImageLayer, ABC):
    """Changes images in training; in evaluation they stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """The images, changed in training."""
        x = self.floating(x)
        return self.changed(x) if self.training else x

    @abstractmethod
    def changed(self, x: Tensor) -> Tensor:
        """Images changed at random."""


def factors(
    spec: Spec, key: str = "factor", default: float | None = None, low: float | None = -1.0, high: float | None = 1.0
) -> tuple[float, float]:
    """The range of a setting that is two numbers, or one number f for -f to f, of which none is below `low`.

    Raises:
        ValueError: it is neither, or beyond `low` and `high`.
    """
    given = spec.require(key, default)
    pair = given if isinstance(given, list | tuple) else [given]
    values = [number(key, value, low, high) for value in pair]
    if not 1 <= len(values) <= 2:
        raise ValueError(f"{key} must be one or two numbers, received {given!r}")
    if len(values) == 2:
        return min(values), max(values)
    least = -abs(values[0])
    return least if low is None else max(low, least), abs(values[0])


def drawn(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """One uniform number for each image."""
    return torch.rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device) * (high - low) + low


def chosen(x: Tensor, factor: tuple[float, float]) -> Tensor:
    """Whether each image is changed, with a probability drawn between two for each."""
    return drawn(x) < drawn(x, *factor)
