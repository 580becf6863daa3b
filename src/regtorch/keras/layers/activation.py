"""Activations as layers of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regtorch.keras.activations import leaky, rectifier
from regtorch.keras.layout import Variable
from regtorch.keras.spec import Spec

__all__ = ["PReLU", "elu", "leaky_relu", "plain", "relu", "softmax"]


def plain(spec: Spec) -> nn.Module:
    """Keras's Activation."""
    return spec.activation(len(spec.shape))


def relu(spec: Spec) -> nn.Module:
    """Keras's ReLU."""
    slope, threshold = spec.get("negative_slope", 0.0), spec.get("threshold", 0.0)
    return rectifier(float(slope), spec.get("max_value"), float(threshold), spec.version)


def leaky_relu(spec: Spec) -> nn.Module:
    """Keras's LeakyReLU; `alpha` is Keras 2's name of `negative_slope`."""
    return leaky(float(spec.get("negative_slope", spec.get("alpha", 0.3))), spec.version)


def elu(spec: Spec) -> nn.Module:
    """Keras's ELU."""
    return nn.ELU(float(spec.get("alpha", 1.0)))


def softmax(spec: Spec) -> nn.Module:
    """Keras's Softmax."""
    axis = spec.get("axis", -1)
    if not isinstance(axis, int):
        raise ValueError(f"axis must be one whole number, received {axis!r}")
    return nn.Softmax(spec.axes.dim(axis, len(spec.shape)))


class PReLU(nn.Module):
    """Keras's PReLU: a slope for each place, shared along `shared_axes`; kept in Keras's layout."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes = spec.axes
        shared = {axis % len(spec.shape) for axis in spec.get("shared_axes", ())}
        self.alpha = nn.Parameter(torch.empty([1 if i in shared else n for i, n in enumerate(spec.keras_shape)][1:]))

    def keras_variables(self) -> list[Variable]:
        """The slopes."""
        return [Variable("alpha", "alpha", tuple(self.alpha.shape), tuple(range(self.alpha.ndim)))]

    def forward(self, x: Tensor) -> Tensor:
        """X where it is positive, alpha · x elsewhere."""
        return x.clamp(min=0) + self.axes.from_keras(self.alpha[None]) * x.clamp(max=0)
