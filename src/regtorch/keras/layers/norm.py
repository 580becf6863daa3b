"""Batch and layer norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.batch_renorm import BatchRenorm
from regtorch.keras.quantity import number
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["batch_normalization", "layer_normalization", "sync_batch_normalization"]


def batch_normalization(spec: Spec) -> BatchNorm:
    dim = spec.dim("axis", -1, len(spec.shape))
    settings: dict[str, Any] = {
        "num_features": spec.shape[dim],
        "eps": spec.number("epsilon", 1e-3, 0.0),
        "momentum": 1.0 - spec.number("momentum", 0.99, 0.0, 1.0),
        "dim": dim,
        "scale": spec.flag("scale", True),
        "center": spec.flag("center", True),
        "trainable": spec.flag("trainable", True),
    }
    rate = 1.0 - spec.number("renorm_momentum", 0.99, 0.0, 1.0)
    if spec.flag("renorm", False):
        if spec.version == 2:
            raise ValueError("renorm=True is not supported for a net of Keras 2; build the net in Keras 3")
        norm: BatchNorm = BatchRenorm(**settings, rate=rate, limits=_limits(spec))
    else:
        norm = BatchNorm(**settings, version=spec.version)
    norm.keras_order, norm.fused = True, not spec.flag("synchronized", False)
    return norm


def sync_batch_normalization(spec: Spec) -> BatchNorm:
    """Keras 2's SyncBatchNormalization, which on one device is BatchNormalization without the fused kernel."""
    norm = batch_normalization(spec)
    norm.fused = False
    return norm


def _limits(spec: Spec) -> dict[str, float]:
    given = spec.get("renorm_clipping") or {}
    if not isinstance(given, Mapping) or not set(given) <= {"rmin", "rmax", "dmax"}:
        raise ValueError(f"renorm_clipping must be a dict of rmin, rmax and dmax, received {shown(given)}")
    return {name: number(name, value, 0.0) for name, value in given.items() if value is not None}


def layer_normalization(spec: Spec) -> nn.Module:
    axes = _axes(spec)
    scaling = spec.flag("rms_scaling", False)
    if not scaling and axes == list(range(len(spec.shape) - len(axes), len(spec.shape))):
        return LayerNormalization(spec, axes)
    return NormalizationAlong(spec, axes, scaling)


def _axes(spec: Spec) -> list[int]:
    """Keras's axes, counted from the first, in Keras's order for the shape of gamma."""
    ndim, given = len(spec.shape), spec.integers("axis", -1)
    axes = [axis % ndim if -ndim <= axis < ndim else 0 for axis in sorted(given)]
    if 0 in axes or len(set(axes)) < len(axes):
        raise ValueError(f"axis must name axes from 1 to {ndim - 1}, received {given}")
    return axes


class LayerNormalization(nn.LayerNorm):
    """Keras's LayerNormalization over its last axes."""

    def __init__(self, spec: Spec, axes: list[int]) -> None:
        self.axes = spec.axes
        super().__init__([spec.keras_shape[axis] for axis in axes], eps=spec.number("epsilon", 1e-3, 0.0))
        if not spec.flag("scale", True):
            self.register_parameter("weight", None)
        if not spec.flag("center", True):
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        return self.axes.from_keras(super().forward(self.axes.to_keras(input)))


class NormalizationAlong(nn.Module):
    """Keras's LayerNormalization over any axes.

    With `rms_scaling` the mean is not subtracted and there is no beta; as in Keras, the scale is that of the variance.
    """

    keras_order = True

    def __init__(self, spec: Spec, axes: list[int], scaling: bool) -> None:
        super().__init__()
        self.axes, self.along, self.scaling = spec.axes, tuple(sorted(axes)), scaling
        self.eps = spec.number("epsilon", 1e-3, 0.0)
        shape = [spec.keras_shape[axis] for axis in axes]
        scale, center = spec.flag("scale", True), spec.flag("center", True)
        self.gamma = nn.Parameter(torch.empty(shape)) if scale or scaling else None
        self.beta = nn.Parameter(torch.empty(shape)) if center and not scaling else None

    def keras_variables(self) -> list[Variable]:
        return held(self, "gamma", "beta")

    def forward(self, x: Tensor) -> Tensor:
        x = self.axes.to_keras(x)
        var, mean = torch.var_mean(x, self.along, correction=0, keepdim=True)
        shape = [n if dim in self.along else 1 for dim, n in enumerate(x.shape)]
        y = (x if self.scaling else x - mean) * (var + self.eps).rsqrt()
        y = y if self.gamma is None else y * self.gamma.reshape(shape)
        return self.axes.from_keras(y if self.beta is None else y + self.beta.reshape(shape))
