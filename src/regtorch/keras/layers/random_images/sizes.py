"""Keras's layers that change the size of images at random."""

from __future__ import annotations

import torch
from torch import Tensor

from regtorch.keras.layers.images import ImageLayer, cropped_to_ratio
from regtorch.keras.layers.random_images.base import RandomImages, factors
from regtorch.keras.layers.resampling import INTERPOLATIONS, resize
from regtorch.keras.spec import Spec

__all__ = ["RandomCrop", "RandomHeight", "RandomWidth"]


class RandomCrop(ImageLayer):
    """Keras's RandomCrop: in training one rectangle for the whole batch.

    In evaluation Keras 2 crops to the ratio and resizes. Keras 3 leaves images as they are, though it builds the
    layers that follow for the smaller ones: those that need this size fail in evaluation, there and here.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        self.size = spec.size("height"), spec.size("width")
        self.version = spec.version

    def forward(self, x: Tensor) -> Tensor:
        """The cropped images."""
        x = self.floating(x)
        if x.is_meta:
            return x.new_empty(*x.shape[:2], *self.size)
        (height, width), (high, wide) = x.shape[-2:], self.size
        if not self.training and self.version == 3:
            return x
        enough = 1 if self.version == 3 else 0  # Keras 3 draws only if both sides are larger
        if self.training and height - high >= enough and width - wide >= enough:
            top, left = (int(torch.randint(more + 1, ())) for more in (height - high, width - wide))
        elif self.version == 2:
            return resize(cropped_to_ratio(x, self.size), self.size, "bilinear")
        else:
            top = (height - max(min(height, int(float(width * high) / wide)), 1)) // 2
            left = (width - max(min(width, int(float(height * wide) / high)), 1)) // 2
        return resize(x[..., top : top + high, left : left + wide], self.size, "bilinear")


class _RandomSide(RandomImages):
    """One side of all images of a batch becomes longer or shorter by a factor."""

    dim: int

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, high=None)
        self.interpolation = spec.one_of("interpolation", {name: name for name in INTERPOLATIONS}, "bilinear")

    def changed(self, x: Tensor) -> Tensor:
        low, high = self.factor
        size = list(x.shape[-2:])
        size[self.dim] = int((1.0 + low + float(torch.rand(())) * (high - low)) * size[self.dim])
        return resize(x, (size[0], size[1]), self.interpolation)


class RandomHeight(_RandomSide):
    """Keras 2's RandomHeight."""

    dim = 0


class RandomWidth(_RandomSide):
    """Keras 2's RandomWidth."""

    dim = 1
