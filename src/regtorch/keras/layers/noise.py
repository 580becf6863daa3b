"""Dropout, noise, rescaling and layers that change nothing."""

from __future__ import annotations

from torch import Tensor, nn

from regtorch.keras.rounding import round_to_float32
from regtorch.keras.spec import Spec
from regtorch.nn import SpatialDropout1D, SpatialDropout2D, SpatialDropout3D

__all__ = [
    "Rescaling",
    "SequenceDropout",
    "activity_regularization",
    "rate",
    "spatial_dropout_2d",
    "spatial_dropout_3d",
]


def rate(spec: Spec) -> float:
    return spec.number("rate", low=0.0, high=1.0)


def spatial_dropout_2d(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(4)
    return SpatialDropout2D(rate(spec))


def spatial_dropout_3d(spec: Spec) -> nn.Module:
    spec.data_format()
    spec.require_dims(5)
    return SpatialDropout3D(rate(spec))


class SequenceDropout(SpatialDropout1D):
    """Keras's SpatialDropout1D, on (batch, steps, channels)."""

    def __init__(self, spec: Spec) -> None:
        spec.require_dims(3)
        super().__init__(rate(spec))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


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
