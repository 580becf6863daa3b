"""Norms of groups of channels, of units, and by the root mean square; learned scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.layers.dot import unit
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["CustomScaleLayer", "GroupNormalization", "LayerScale", "RMSNormalization", "UnitNormalization"]


class GroupNormalization(nn.GroupNorm):
    """Keras's GroupNormalization."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        self.dim = spec.dim("axis", -1, len(spec.shape))
        channels = spec.shape[self.dim]
        groups = channels if spec.get("groups", 32) == -1 else spec.size("groups", 32)
        if self.dim == 0 or channels % groups:
            raise ValueError(f"groups={groups} must divide the {channels} channels along axis={spec.get('axis', -1)}")
        super().__init__(groups, channels, eps=spec.number("epsilon", 1e-3, 0.0))
        if not spec.flag("scale", True):
            self.register_parameter("weight", None)
        if not spec.flag("center", True):
            self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        x = input.movedim(self.dim, 1)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps).movedim(1, self.dim)


class RMSNormalization(nn.Module):
    """Keras's RMSNormalization over its last axes."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.eps = spec.axes, spec.number("epsilon", 1e-6, 0.0)
        keras, given = spec.keras_shape, spec.integers("axis", -1)
        ndim = len(keras)
        along = sorted(axis % ndim if -ndim <= axis < ndim else 0 for axis in given)
        if along != list(range(ndim - len(along), ndim)) or 0 in along:
            raise ValueError(f"axis={given} is not supported: Keras multiplies the last axes by the scale")
        self.scale = nn.Parameter(torch.empty([keras[axis] for axis in along]))

    def keras_variables(self) -> list[Variable]:
        return held(self, scale="ones")

    def forward(self, x: Tensor) -> Tensor:
        y = F.rms_norm(self.axes.to_keras(x), list(self.scale.shape), self.scale, self.eps)
        return self.axes.from_keras(y)


class UnitNormalization(nn.Module):
    """Keras's UnitNormalization."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        ndim = len(spec.shape)
        self.dims = tuple(spec.axes.dim(axis, ndim) for axis in spec.integers("axis", -1))
        self.epsilon = 1e-6 if spec.version == 2 else 1e-12

    def forward(self, x: Tensor) -> Tensor:
        return unit(x, self.dims, self.epsilon)


class LayerScale(nn.Module):
    """The layer of keras.applications' ConvNeXt: one learned factor for each channel."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.first = spec.axes, spec.number("init_values")
        self.gamma = nn.Parameter(torch.empty(spec.size("projection_dim")))

    def keras_variables(self) -> list[Variable]:
        return held(self, gamma={"class_name": "Constant", "config": {"value": self.first}})

    def forward(self, x: Tensor) -> Tensor:
        return self.axes.from_keras(self.axes.to_keras(x) * self.gamma)


class CustomScaleLayer(nn.Module):
    """The layer of keras.applications' InceptionResNetV2: x + scale · y."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        if len(spec.shapes) != 2:
            raise ValueError(f"it takes two inputs, received {len(spec.shapes)}")
        self.scale = spec.number("scale")

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y * self.scale
