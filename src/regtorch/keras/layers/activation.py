"""Activations as layers of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.activations import Elementwise, leaky, rectifier
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Axes, Spec
from regtorch.keras.variables import Variable, held

__all__ = ["PReLU", "Softmax", "leaky_relu", "relu", "softmax", "softmax_over", "thresholded_relu"]


def relu(spec: Spec) -> nn.Module:
    slope, threshold = spec.number("negative_slope", 0.0, 0.0), spec.number("threshold", 0.0, 0.0)
    most = None if spec.get("max_value") is None else spec.number("max_value", low=0.0)
    return rectifier(slope, most, threshold, spec.version)


def thresholded_relu(spec: Spec) -> nn.Module:
    """Keras 2's ThresholdedReLU: x above theta, else 0."""
    theta = spec.number("theta", 1.0, 0.0)
    return Elementwise(f"thresholded_relu(theta={theta:g})", partial(F.threshold, threshold=theta, value=0.0))


def leaky_relu(spec: Spec) -> nn.Module:
    """Keras's LeakyReLU; `alpha` is Keras 2's name of `negative_slope`."""
    name = "alpha" if "alpha" in spec.config else "negative_slope"
    return leaky(spec.number(name, 0.3, 0.0), spec.version)


def softmax(spec: Spec) -> nn.Module:
    """Keras's Softmax; one over a single axis is torch's too, so that `logits=True` recognises it."""
    axis = spec.get("axis", -1)
    return SoftmaxOver(spec) if isinstance(axis, list | tuple) and len(axis) > 1 else Softmax(spec)


def softmax_over(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Softmax over several dims at once."""
    order = [*(dim for dim in range(x.ndim) if dim not in dims), *dims]
    moved = x.permute(order)
    y = moved.flatten(x.ndim - len(dims)).softmax(-1)
    return y.reshape(moved.shape).permute([order.index(dim) for dim in range(x.ndim)])


class _Masked(nn.Module):
    """A softmax in which what a mask leaves out gets no probability."""

    takes_masks = True
    axes: Axes
    version: int

    @abstractmethod
    def probabilities(self, x: Tensor) -> Tensor:
        """The softmax of `x`."""

    def forward(self, input: Tensor, masks: Masks = ()) -> Tensor:
        """Keras 3 gives exact zeros, Keras 2 adds a large negative number."""
        mask = masks[0] if masks else None
        if mask is None:
            return self.probabilities(input)
        kept = self.axes.from_keras(mask.broadcast_to(self.axes.to_keras(input).shape).bool())
        half = torch.finfo(torch.float16).min if self.version == 2 else -3e4
        low = half if input.dtype == torch.float16 else -1e9
        if self.version == 2:
            return self.probabilities(input + ~kept * low)
        return torch.where(kept, self.probabilities(torch.where(kept, input, low)), 0)


class Softmax(_Masked, nn.Softmax):
    """Keras's Softmax over one axis."""

    def __init__(self, spec: Spec) -> None:
        nn.Softmax.__init__(self, spec.dim("axis", -1, len(spec.shape)))
        self.axes, self.version = spec.axes, spec.version

    def probabilities(self, x: Tensor) -> Tensor:
        return nn.Softmax.forward(self, x)


class SoftmaxOver(_Masked):
    """Keras's Softmax over several axes at once."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.version = spec.axes, spec.version
        self.dims = sorted({self.axes.dim(axis, len(spec.shape)) for axis in spec.integers("axis")})

    def probabilities(self, x: Tensor) -> Tensor:
        return softmax_over(x, self.dims)


class PReLU(nn.Module):
    """Keras's PReLU: a slope for each input unit, shared along `shared_axes`, in Keras's layout."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes = spec.axes
        shared = set() if spec.get("shared_axes") in (None, []) else set(spec.integers("shared_axes"))
        if not shared <= set(range(1, len(spec.shape))):
            raise ValueError(f"shared_axes must name axes from 1 to {len(spec.shape) - 1}, received {sorted(shared)}")
        self.alpha = nn.Parameter(torch.empty([1 if i in shared else n for i, n in enumerate(spec.keras_shape)][1:]))

    def keras_variables(self) -> list[Variable]:
        return held(self, "alpha")

    def forward(self, x: Tensor) -> Tensor:
        """X where it is positive, alpha · x elsewhere."""
        return x.clamp(min=0) + self.axes.from_keras(self.alpha[None]) * x.clamp(max=0)
