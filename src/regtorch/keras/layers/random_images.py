"""Keras's random image layers: in evaluation they change nothing, in training they draw changes for each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regtorch.keras.layers.images import ImageLayer, value_range
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec

__all__ = [
    "ONLY_EVALUATED",
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomGrayscale",
    "RandomInvert",
    "only_evaluated",
]

ONLY_EVALUATED = (
    *("AugMix", "CutMix", "MixUp", "RandAugment", "RandomColorDegeneration", "RandomColorJitter"),
    *("RandomElasticTransform", "RandomErasing", "RandomGaussianBlur", "RandomHue", "RandomPerspective"),
    *("RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear"),
    *("RandomTranslation", "RandomZoom", "Solarization"),
)
"""Keras's classes that are supported in evaluation, where they change nothing."""


class _OnlyEvaluated(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """The input.

        Raises:
            NotImplementedError: in training.
        """
        if self.training:
            raise NotImplementedError(
                f"{self.name} in training is not supported: Keras's way to draw and interpolate has no equal in torch; "
                "augment the images before the net, and put this layer alone in evaluation with .eval()"
            )
        return x

    def extra_repr(self) -> str:
        return self.name


def only_evaluated(name: str) -> Callable[[Spec], nn.Module]:
    """Build one of `ONLY_EVALUATED`; no setting has an effect in evaluation."""

    def build(spec: Spec) -> nn.Module:
        for key in spec.config:
            spec.get(key)
        return _OnlyEvaluated(name)

    return build


class _Random(ImageLayer):
    """Attributes: factor: Keras's, in order."""

    def __init__(self, spec: Spec, low: float = -1.0) -> None:
        super().__init__(spec)
        given = spec.get("factor")
        pair = given if isinstance(given, list | tuple) else [given]
        values = [number("factor", value, low, 1.0) for value in pair]
        if not 1 <= len(values) <= 2:
            raise ValueError(f"factor must be one or two numbers, received {given!r}")
        self.factor = tuple(sorted(values)) if len(values) == 2 else (max(low, -abs(values[0])), abs(values[0]))
        self.low, self.high = value_range(spec)

    def drawn(self, x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """One uniform number for each image."""
        return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) * (high - low) + low


class RandomFlip(ImageLayer):
    """Keras 3's RandomFlip: one draw for both directions; Keras 2 draws each."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        modes = {"horizontal": [-1], "vertical": [-2], "horizontal_and_vertical": [-1, -2]}
        self.dims = spec.one_of("mode", modes, "horizontal_and_vertical")
        self.version = spec.version

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if not self.training:
            return x
        for dims in [self.dims] if self.version == 3 else [[dim] for dim in self.dims]:
            flips = torch.rand(len(x), 1, 1, 1, device=x.device) <= 0.5
            x = torch.where(flips, x.flip(dims), x)
        return x


class RandomBrightness(_Random):
    """Keras's RandomBrightness: adds one number to each image, of at most `factor` of the range of values."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if not self.training:
            return x
        return (x + self.drawn(x, *self.factor) * (self.high - self.low)).clamp(self.low, self.high)


class RandomContrast(_Random):
    """Keras's RandomContrast: scales the distance of each value from its channel's mean.

    One factor f stands for 1 to 1 + f in Keras 3, and for 1 - f to 1 + f in Keras 2.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, 0.0)
        if spec.version == 2 and not isinstance(spec.get("factor"), list | tuple):
            self.factor = self.factor[1], self.factor[1]

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if not self.training:
            return x
        mean = x.mean((-2, -1), keepdim=True)
        y = (x - mean) * self.drawn(x, 1.0 - self.factor[0], 1.0 + self.factor[1]) + mean
        return y.clamp(self.low, self.high)


class RandomInvert(_Random):
    """Keras's RandomInvert: the highest value minus the image."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if not self.training:
            return x
        return torch.where(self.drawn(x) < self.drawn(x, *self.factor), self.high - x, x)


class RandomGrayscale(ImageLayer):
    """Keras's RandomGrayscale, of images with one or three channels."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = spec.number("factor", 0.5, 0.0, 1.0)
        self.dim = spec.axes.channel_dim(4)
        if spec.shape[self.dim] not in (1, 3):
            raise ValueError(f"it takes images of one or three channels, received {spec.shape[self.dim]}")

    def forward(self, x: Tensor) -> Tensor:
        x = self.floating(x)
        if not self.training or x.shape[self.dim] == 1:
            return x
        gray = (x * x.new_tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
        return torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < self.factor, gray, x)
