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

__all__ = [
    "Rescaling",
    "SequenceDropout",
    "alpha",
    "dropout",
    "gaussian",
    "identity",
    "noise",
    "spatial2",
    "spatial3",
    "watched",
]


def _rate(spec: Spec) -> float:
    return spec.number("rate", low=0.0, high=1.0)


def dropout(spec: Spec) -> nn.Module:
    return nn.Dropout(_rate(spec))


def spatial2(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(4)
    return SpatialDropout2D(_rate(spec))


def spatial3(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(5)
    return SpatialDropout3D(_rate(spec))


def gaussian(spec: Spec) -> nn.Module:
    """Keras's GaussianDropout. At a rate of 1 Keras 2 does nothing; here and in Keras 3 it is an error."""
    return GaussianDropout(_rate(spec))


def noise(spec: Spec) -> nn.Module:
    return GaussianNoise(spec.number("stddev", low=0.0))


def alpha(spec: Spec) -> nn.Module:
    return AlphaDropout(_rate(spec))


class SequenceDropout(SpatialDropout1D):
    """Keras's SpatialDropout1D, on (batch, steps, channels)."""

    def __init__(self, spec: Spec) -> None:
        spec.require_dims(3)
        super().__init__(_rate(spec))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


def identity(spec: Spec) -> nn.Module:
    return nn.Identity()


def watched(spec: Spec) -> nn.Module:
    """Keras's ActivityRegularization: the rule comes from the config."""
    spec.get("l1")
    spec.get("l2")
    return nn.Identity()


class Rescaling(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.scale, self.offset = spec.number("scale"), spec.number("offset", 0.0)
        if spec.version == 2:
            self.scale, self.offset = through_float32(self.scale), through_float32(self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """X · scale + offset."""
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
