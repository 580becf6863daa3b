"""Keras's layers that put other values or other images of the batch into images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta

from regtorch.checks import shown
from regtorch.keras.layers.images import value_range
from regtorch.keras.layers.random_images.base import RandomImages, chosen, drawn, factors
from regtorch.keras.layers.random_images.sampling import grid
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec

__all__ = ["CutMix", "MixUp", "RandomErasing"]


class RandomErasing(RandomImages):
    """Keras's RandomErasing: fills a rectangle, whose sides are roots of numbers from `scale` of the image's."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, default=1.0, low=0.0)
        self.scale = factors(spec, "scale", low=0.0) if "scale" in spec.config else (0.02, 0.33)
        self.low, self.high = value_range(spec)
        given = spec.get("fill_value")
        values = given if isinstance(given, list | tuple) else [] if given is None else [given]
        if len(values) not in (0, 1, spec.channels(4)):
            raise ValueError(f"fill_value must be one number or one for each channel, received {shown(given)}")
        self.fill = [number("fill_value", value) for value in values]

    def changed(self, x: Tensor) -> Tensor:
        sides = (drawn(x, *self.scale).sqrt() for _ in range(2))
        fill = x.new_tensor(self.fill).view(-1, 1, 1) if self.fill else torch.randn_like(x) * self.high
        erased = _rectangles(x, *sides) & chosen(x, self.factor)
        return torch.where(erased, fill.clamp(self.low, self.high), x)


class CutMix(RandomImages):
    """Keras's CutMix, of the images alone: a rectangle comes from another image."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, default=1.0, low=0.0)

    def changed(self, x: Tensor) -> Tensor:
        alpha = float(drawn(x[:1], *self.factor)) + 1e-6
        side = (1.0 - _beta(x, alpha)).sqrt()
        return torch.where(_rectangles(x, side, side), x[torch.randperm(x.shape[0], device=x.device)], x)


class MixUp(RandomImages):
    """Keras's MixUp, of the images alone: each becomes a weighted mean of itself and another."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        self.alpha = spec.number("alpha", 0.2)
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, received {self.alpha}")

    def changed(self, x: Tensor) -> Tensor:
        weight = _beta(x, self.alpha)
        return weight * x + (1.0 - weight) * x[torch.randperm(x.shape[0], device=x.device)]


def _beta(x: Tensor, alpha: float) -> Tensor:
    """One number of a symmetric beta distribution for each image."""
    given = x.new_full((x.shape[0], 1, 1, 1), alpha)
    return Beta(given, given).sample()


def _rectangles(x: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Which pixels are in a rectangle that lies anywhere in each image; its sides are shares of the image's."""
    inside = torch.ones(1, dtype=torch.bool, device=x.device)
    for at, share, size in zip(grid(x), (width, height), (x.shape[-1], x.shape[-2]), strict=True):
        start = drawn(x) * (size - share * size)
        inside = inside & (at >= start) & (at < start + share * size)
    return inside
