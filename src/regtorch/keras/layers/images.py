"""Preprocessing of images to one size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.dtypes import as_floats, dtype_of
from regtorch.keras.layers.resampling import INTERPOLATIONS, resize
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec

__all__ = ["AutoContrast", "CenterCrop", "ImageLayer", "Resizing", "cropped_to_ratio", "value_range"]


def value_range(spec: Spec) -> tuple[float, float]:
    """The lowest and highest value of images.

    Raises:
        ValueError: it is not two numbers in ascending order.
    """
    given = spec.get("value_range", (0, 255))
    if not (isinstance(given, list | tuple) and len(given) == 2):
        raise ValueError(f"value_range must be two numbers, received {given!r}")
    low, high = (number("value_range", value) for value in given)
    if low >= high:
        raise ValueError(f"value_range must be in ascending order, received {given!r}")
    return low, high


def cropped_to_ratio(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre of channels-first images, as large as fits, with the ratio of this height and width."""
    height, width = x.shape[-2:]
    high = max(min(height, int(float(width * size[0]) / size[1])), 1)
    wide = max(min(width, int(float(height * size[1]) / size[0])), 1)
    top, left = (height - high) // 2, (width - wide) // 2
    return x[..., top : top + high, left : left + wide]


class ImageLayer(nn.Module):
    """A layer of batches of images, which are cast to its dtype."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.require_dims(4)
        self.dtype = dtype_of(spec.config) or torch.float32

    def floating(self, x: Tensor) -> Tensor:
        return as_floats(x, self.dtype)


class CenterCrop(ImageLayer):
    """Keras's CenterCrop; smaller images are cropped to its ratio and resized."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.size = spec.size("height"), spec.size("width")

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        top, left = ((n - size) // 2 for n, size in zip(x.shape[-2:], self.size, strict=True))
        if top >= 0 and left >= 0:
            return x[..., top : top + self.size[0], left : left + self.size[1]]
        return resize(cropped_to_ratio(x, self.size), self.size, "bilinear")


class Resizing(ImageLayer):
    """Keras's Resizing."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.size = spec.size("height"), spec.size("width")
        self.mode = spec.one_of("interpolation", {name: name for name in INTERPOLATIONS}, "bilinear")
        self.antialias = spec.flag("antialias", False)
        self.crop, self.pad = spec.flag("crop_to_aspect_ratio", False), spec.flag("pad_to_aspect_ratio", False)
        if self.crop and self.pad:
            raise ValueError("crop_to_aspect_ratio and pad_to_aspect_ratio must not both be True")
        spec.one_of("fill_mode", {"constant": None}, "constant")
        self.fill = spec.number("fill_value", 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if self.crop:
            x = cropped_to_ratio(x, self.size)
        elif self.pad:
            x = self._padded(x)
        return resize(x, self.size, self.mode, self.antialias)

    def _padded(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        high = max(height, int(float(width * self.size[0]) / self.size[1]))
        wide = max(width, int(float(height * self.size[1]) / self.size[0]))
        top, left = (high - height) // 2, (wide - width) // 2
        return F.pad(x, (left, left, top, top), value=self.fill)


class AutoContrast(ImageLayer):
    """Keras's AutoContrast, in training and evaluation: each channel of an image fills the range of values."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        self.low, self.high = value_range(spec)

    def forward(self, x: Tensor) -> Tensor:
        """A channel of equal values stays as it is."""
        x = self.floating(x)
        low, high = x.amin((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True)
        spread = (x - low) / torch.where(high > low, high - low, 1)
        return torch.where(high > low, spread * (self.high - self.low) + self.low, x)
