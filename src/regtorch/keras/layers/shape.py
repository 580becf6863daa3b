"""Layers that only reorder values, in Keras's order, so that the weights after them keep Keras's order too."""

from __future__ import annotations

import math

from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


class _Reorder(nn.Module):
    keras_order = True  # the next layer's inputs have Keras's order

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes = spec.axes


class Flatten(_Reorder):
    """Keras's Flatten: in Keras's order, with `data_format="channels_first"` the first dim last."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.first_last = spec.get("data_format") == "channels_first"

    def forward(self, x: Tensor) -> Tensor:
        x = self.axes.to_keras(x)
        return (x.movedim(1, -1) if self.first_last and x.ndim > 2 else x).flatten(1)


def _dims(spec: Spec, key: str) -> tuple[int, ...]:
    value = spec.require(key)
    if not (isinstance(value, list | tuple) and all(v == -1 or is_size(v) for v in value)):
        raise ValueError(f"{key} must be a list of whole numbers, received {shown(value)}")
    return tuple(value)


class Reshape(_Reorder):
    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.target = _dims(spec, "target_shape")
        size, self.known = math.prod(spec.shape[1:]), math.prod(n for n in self.target if n != -1)
        misfits = self.known == 0 or size % self.known or (-1 not in self.target and size != self.known)
        if self.target.count(-1) > 1 or misfits:
            raise ValueError(f"target_shape={self.target} does not fit its input of shape {spec.keras_shape}")

    def forward(self, x: Tensor) -> Tensor:
        rest = math.prod(x.shape[1:]) // self.known  # torch cannot tell it from an empty batch
        target = [rest if n == -1 else n for n in self.target]
        return self.axes.from_keras(self.axes.to_keras(x).reshape(x.shape[0], *target))

    def extra_repr(self) -> str:
        return str(self.target)


class Permute(_Reorder):
    """Keras's Permute; its dims are numbered from 1."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.dims = _dims(spec, "dims")
        if sorted(self.dims) != list(range(1, len(spec.shape))):
            raise ValueError(f"dims must name the axes 1 to {len(spec.shape) - 1} once each, received {self.dims}")

    def forward(self, x: Tensor) -> Tensor:
        return self.axes.from_keras(self.axes.to_keras(x).permute(0, *self.dims))


class RepeatVector(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.require_dims(2)
        self.n = spec.size("n")

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features) to (batch, n, features)."""
        return x.unsqueeze(1).expand(-1, self.n, -1)
