"""Keras's layers that change values at random: sharper, blurred, in fewer steps, erased."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.layers.images import value_range
from regtorch.keras.layers.random_images.base import RandomImages, chosen, drawn, factors
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec

__all__ = [
    "RandomGaussianBlur",
    "RandomPosterization",
    "RandomSharpness",
    "Solarization",
    "blurred",
]


class RandomSharpness(RandomImages):
    """Keras's RandomSharpness: from the image smoothed (0) past the image itself (1/2) to a sharper one (1)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, low=0.0)
        self.low, self.high = value_range(spec)

    def changed(self, x: Tensor) -> Tensor:
        kernel = x.new_full((3, 3), 1 / 13)
        kernel[1, 1] = 5 / 13
        away = 1.0 - 2 * drawn(x, *self.factor)
        return (x + away * (_filtered(x, kernel) - x)).clamp(self.low, self.high)


class RandomGaussianBlur(RandomImages):
    """Keras's RandomGaussianBlur, with one standard deviation along the width and one along the height of a batch."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor, self.sigma = factors(spec, default=1.0, low=0.0), factors(spec, "sigma", 1.0, low=0.0)
        self.low, self.high = value_range(spec)
        sizes = spec.sizes("kernel_size", 2, 3)
        if sizes[0] % 2 == 0 or sizes[0] != sizes[1]:
            raise ValueError(f"kernel_size must be an odd number, the same for both sides, received {sizes}")
        self.size = sizes[0]

    def changed(self, x: Tensor) -> Tensor:
        columns, rows = (float(drawn(x[:1], *self.sigma)) + 1e-6 for _ in range(2))
        y = blurred(x, self.size, (columns, rows))
        return torch.where(chosen(x, self.factor), y, x).clamp(self.low, self.high)


class RandomPosterization(RandomImages):
    """Keras's RandomPosterization: the first bits of the 8 that a value has, from one number to below the other."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.bits = factors(spec, low=1.0, high=8.0)
        self.low, self.high = value_range(spec)

    def changed(self, x: Tensor) -> Tensor:
        low, high = (int(n) for n in self.bits)
        bits = torch.randint(low, max(high, low + 1), (x.shape[0], 1, 1, 1), device=x.device)
        step = (2.0 ** (8 - bits)).to(x.dtype)
        values = ((x - self.low) / (self.high - self.low) * 255).to(torch.uint8).to(x.dtype)
        return (values / step).floor() * step / 255 * (self.high - self.low) + self.low


class Solarization(RandomImages):
    """Keras's Solarization: adds a number to each image, and inverts the values from a threshold on."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.additions, self.thresholds = (_from_zero(spec, f"{what}_factor") for what in ("addition", "threshold"))
        self.low, self.high = value_range(spec)

    def changed(self, x: Tensor) -> Tensor:
        # As in Keras, the lower end is not in the unit of values.
        by, threshold = (drawn(x, least, most * 255) for least, most in (self.additions, self.thresholds))
        y = ((x - self.low) / (self.high - self.low) * 255 + by).clamp(0, 255)
        return torch.where(y < threshold, y, 255 - y) / 255 * (self.high - self.low) + self.low


def blurred(x: Tensor, size: int, sigmas: tuple[float, float]) -> Tensor:
    """Images blurred along the width and the height, with zeros outside."""
    at = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    columns, rows = (F.normalize(torch.exp(-0.5 * (at / sigma) ** 2), 1, 0) for sigma in sigmas)
    return _filtered(_filtered(x, columns[None]), rows[:, None])


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel filtered by one kernel, with zeros outside."""
    sides = [size // 2 for size in kernel.shape]
    return F.conv2d(x, kernel.expand(x.shape[1], 1, *kernel.shape), padding=sides, groups=x.shape[1])


def _from_zero(spec: Spec, key: str) -> tuple[float, float]:
    """The range of a setting where one number f stands for 0 to f."""
    given = spec.get(key, 0.0)
    return factors(spec, key, low=0.0) if isinstance(given, list | tuple) else (0.0, number(key, given, 0.0, 1.0))
