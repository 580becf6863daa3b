"""Keras's layers that change colours at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from regtorch.keras.layers.images import value_range
from regtorch.keras.layers.random_images.base import RandomImages, chosen, drawn, factors
from regtorch.keras.spec import Spec

__all__ = [
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomSaturation",
]

_EPSILON = 1e-7  # Keras's


class _Coloured(RandomImages):
    """Attributes: factor: Keras's, in order; low, high: the range of values."""

    least = -1.0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, low=self.least)
        self.low, self.high = value_range(spec)


class RandomBrightness(_Coloured):
    """Keras's RandomBrightness: adds one number to each image, of at most `factor` of the range of values."""

    def changed(self, x: Tensor) -> Tensor:
        return (x + drawn(x, *self.factor) * (self.high - self.low)).clamp(self.low, self.high)


class RandomContrast(_Coloured):
    """Keras's RandomContrast: scales the distance of each value from its channel's mean.

    One factor f stands for 1 to 1 + f in Keras 3, and for 1 - f to 1 + f in Keras 2.
    """

    least = 0.0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if spec.version == 2 and not isinstance(spec.get("factor"), list | tuple):
            self.factor = self.factor[1], self.factor[1]

    def changed(self, x: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        y = (x - mean) * drawn(x, 1.0 - self.factor[0], 1.0 + self.factor[1]) + mean
        return y.clamp(self.low, self.high)


class RandomInvert(_Coloured):
    """Keras's RandomInvert: the highest value minus the image."""

    least = 0.0

    def changed(self, x: Tensor) -> Tensor:
        return torch.where(chosen(x, self.factor), self.high - x, x)


class RandomGrayscale(RandomImages):
    """Keras's RandomGrayscale, of images with one or three channels."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = spec.number("factor", 0.5, 0.0, 1.0)
        _require_channels(spec, 1, 3)

    def changed(self, x: Tensor) -> Tensor:
        return torch.where(drawn(x) < self.factor, _gray(x), x)


class RandomColorDegeneration(_Coloured):
    """Keras's RandomColorDegeneration: moves each image towards its gray one by a factor of the way."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        _require_channels(spec, 1, 3)

    def changed(self, x: Tensor) -> Tensor:
        return (x + drawn(x, *self.factor) * (_gray(x) - x)).clamp(self.low, self.high)


class RandomSaturation(_Coloured):
    """Keras's RandomSaturation: multiplies the saturation by f / (1 - f), with f drawn for each image.

    As in Keras, the saturation is cut to the range of values, not to that from 0 to 1.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        _require_channels(spec, 3)

    def changed(self, x: Tensor) -> Tensor:
        f = drawn(x, *self.factor)
        hue, saturation, value = _to_hsv(x).split(1, 1)
        saturation = (saturation * (f / (1 - f + _EPSILON))).clamp(self.low, self.high)
        return _from_hsv(hue, saturation, value)


class RandomHue(_Coloured):
    """Keras's RandomHue: turns the hues of each image by at most half of `factor` of the circle, either way."""

    least = 0.0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        _require_channels(spec, 3)

    def changed(self, x: Tensor) -> Tensor:
        turn = drawn(x, *self.factor) * 0.5 * torch.where(drawn(x) > 0.5, -1.0, 1.0)
        hue, saturation, value = _to_hsv((x - self.low) / (self.high - self.low)).split(1, 1)
        y = _from_hsv(hue + turn, saturation, value).clamp(0, 1)
        return y * (self.high - self.low) + self.low


class RandomColorJitter(RandomImages):
    """Keras's RandomColorJitter: brightness, contrast, saturation and hue in this order, those that have a factor."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        value_range(spec)
        parts: dict[str, Callable[[Spec], RandomImages]] = {
            "brightness_factor": RandomBrightness,
            "contrast_factor": RandomContrast,
            "saturation_factor": RandomSaturation,
            "hue_factor": RandomHue,
        }
        self.parts = torch.nn.ModuleList(
            make(replace(spec, config={**spec.config, "factor": spec.config[key]}, used=set()))
            for key, make in parts.items()
            if spec.get(key) is not None
        )

    def changed(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


def _require_channels(spec: Spec, *counts: int) -> None:
    channels = spec.channels(4)
    if channels not in counts:
        raise ValueError(f"it takes images of {' or '.join(map(str, counts))} channels, received {channels}")


def _gray(x: Tensor) -> Tensor:
    """Keras's gray of three channels, with one channel."""
    return x if x.shape[1] == 1 else (x * x.new_tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


def _to_hsv(x: Tensor) -> Tensor:
    """Hue from 0 to 1, saturation and value of red, green and blue."""
    x = torch.where(x.abs() < torch.finfo(x.dtype).eps, 0.0, x)
    red, green, blue = x.split(1, 1)
    value = x.amax(1, keepdim=True)
    spread = value - x.amin(1, keepdim=True)
    sixth = 1.0 / (6.0 * torch.where(spread > 0, spread, 1.0))
    hue = torch.where(value == green, sixth * (blue - red) + 2.0 / 6.0, sixth * (red - green) + 4.0 / 6.0)
    hue = torch.where(value == red, sixth * (green - blue), hue)
    hue = torch.where(spread > 0, hue, 0.0)
    saturation = torch.where(value > 0, spread / torch.where(value > 0, value, 1.0), 0.0)
    return torch.cat([hue % 1.0, saturation, value], 1)


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Red, green and blue; the hue may be beyond its circle."""
    sixths = hue % 1.0 * 6.0
    red = ((sixths - 3.0).abs() - 1.0).clamp(0, 1)
    green, blue = ((2.0 - (sixths - at).abs()).clamp(0, 1) for at in (2.0, 4.0))
    return value * (1.0 - saturation + saturation * torch.cat([red, green, blue], 1))
