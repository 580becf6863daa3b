"""Dropout, noise, and the penalty of outputs."""

from __future__ import annotations

from torch import Tensor, nn

from regtorch.keras.rounding import through_float32
from regtorch.keras.spec import Spec
from regtorch.nn import (
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)

__all__ = ["Identity", "Rescaling", "SequenceDropout", "alpha", "dropout", "gaussian", "noise", "spatial2", "spatial3"]


def dropout(spec: Spec) -> nn.Module:
    """Keras's Dropout."""
    return nn.Dropout(spec.require("rate"))


def spatial2(spec: Spec) -> nn.Module:
    """Keras's SpatialDropout2D."""
    spec.data_format()
    return SpatialDropout2D(spec.require("rate"))


def spatial3(spec: Spec) -> nn.Module:
    """Keras's SpatialDropout3D."""
    spec.data_format()
    return SpatialDropout3D(spec.require("rate"))


def gaussian(spec: Spec) -> nn.Module:
    """Keras's GaussianDropout. At a rate of 1 Keras 2 does nothing; here and in Keras 3 it is an error."""
    return GaussianDropout(spec.require("rate"))


def noise(spec: Spec) -> nn.Module:
    """Keras's GaussianNoise."""
    return GaussianNoise(spec.require("stddev"))


def alpha(spec: Spec) -> nn.Module:
    """Keras's AlphaDropout."""
    return AlphaDropout(spec.require("rate"))


class SequenceDropout(SpatialDropout1D):
    """Keras's SpatialDropout1D, on (batch, steps, channels)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec.require("rate"))

    def forward(self, x: Tensor) -> Tensor:
        """Drop whole channels."""
        return super().forward(x.mT).mT


class Identity(nn.Identity):
    """Keras's ActivityRegularization and Identity: the rule comes from the config."""

    def __init__(self, spec: Spec) -> None:
        spec.get("l1")
        spec.get("l2")
        super().__init__()


class Rescaling(nn.Module):
    """Keras's Rescaling."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.scale, self.offset = spec.require("scale"), spec.get("offset", 0.0)
        if not all(isinstance(v, int | float) for v in (self.scale, self.offset)):
            raise ValueError(f"scale and offset must be numbers, received {self.scale!r} and {self.offset!r}")
        if spec.version == 2:
            self.scale, self.offset = through_float32(self.scale), through_float32(self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """X · scale + offset."""
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        """Scale and offset."""
        return f"scale={self.scale}, offset={self.offset}"
