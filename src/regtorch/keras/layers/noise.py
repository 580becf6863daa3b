"""Dropout, noise, rescaling and layers that change nothing."""

from __future__ import annotations

from torch import Tensor, nn

from regtorch.keras.rounding import round_to_float32
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
    "activity_regularization",
    "alpha_dropout",
    "dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "identity",
    "spatial_dropout_2d",
    "spatial_dropout_3d",
]


def _rate(spec: Spec) -> float:
    return spec.number("rate", low=0.0, high=1.0)


def dropout(spec: Spec) -> nn.Module:
    return nn.Dropout(_rate(spec))


def spatial_dropout_2d(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(4)
    return SpatialDropout2D(_rate(spec))


def spatial_dropout_3d(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(5)
    return SpatialDropout3D(_rate(spec))


def gaussian_dropout(spec: Spec) -> nn.Module:
    """Keras's GaussianDropout. A rate of 1 has no effect in Keras 2; here, as in Keras 3, it is an error."""
    return GaussianDropout(_rate(spec))


def gaussian_noise(spec: Spec) -> nn.Module:
    return GaussianNoise(spec.number("stddev", low=0.0))


def alpha_dropout(spec: Spec) -> nn.Module:
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


def activity_regularization(spec: Spec) -> nn.Module:
    """Keras's ActivityRegularization; `Rules` reads the penalty from the config."""
    spec.get("l1")
    spec.get("l2")
    return nn.Identity()


class Rescaling(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.scale, self.offset = spec.number("scale"), spec.number("offset", 0.0)
        if spec.version == 2:
            self.scale, self.offset = round_to_float32(self.scale), round_to_float32(self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """X · scale + offset."""
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
