"""Dropout, noise and layers that change nothing."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec
from regtorch.nn import SpatialDropout1D, SpatialDropout2D, SpatialDropout3D

__all__ = [
    "NoiseShapeDropout",
    "SequenceDropout",
    "activity_regularization",
    "dropout",
    "rate",
    "spatial_dropout_2d",
    "spatial_dropout_3d",
]


def rate(spec: Spec) -> float:
    return spec.number("rate", low=0.0, high=1.0)


def dropout(spec: Spec) -> nn.Module:
    return nn.Dropout(rate(spec)) if spec.get("noise_shape") is None else NoiseShapeDropout(spec)


class NoiseShapeDropout(nn.Module):
    """Keras's Dropout with a `noise_shape`: what is dropped together, along dims of 1."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.rate, given = spec.axes, rate(spec), spec.get("noise_shape")
        shape = spec.keras_shape
        if not (isinstance(given, list | tuple) and all(n is None or is_size(n) for n in given)):
            raise ValueError(f"noise_shape must be a list of sizes, with null for the input's, received {shown(given)}")
        fits = zip(given[1:], shape[1:], strict=False)
        if len(given) != len(shape) or any(n not in (None, 1, size) for n, size in fits):
            raise ValueError(f"noise_shape={list(given)} does not fit its input of shape {shape}")
        self.noise_shape = tuple(given)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        sizes = self.axes.to_keras(x).shape
        shape = [size if n is None else n for n, size in zip(self.noise_shape, sizes, strict=True)]
        return x * self.axes.from_keras(F.dropout(x.new_ones(shape), self.rate))

    def extra_repr(self) -> str:
        return f"{self.rate}, noise_shape={self.noise_shape}"


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
