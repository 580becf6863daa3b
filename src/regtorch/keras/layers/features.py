"""Preprocessing of columns: scaling, bins and categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.dtypes import dtype_of
from regtorch.keras.quantity import number
from regtorch.keras.rounding import round_to_float32
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["CategoryEncoding", "Discretization", "Normalization", "Rescaling"]

_MODES = {"one_hot": "one_hot", "multi_hot": "multi_hot", "binary": "multi_hot", "count": "count"}


def _floating(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.is_floating_point() else x.to(dtype)


def _numbers(spec: Spec, key: str, default: float | None = None) -> Tensor:
    """A number, or nested lists of them, as a float64 tensor."""
    value: Any = spec.require(key, default)
    if isinstance(value, Mapping) and value.get("class_name") == "__numpy__":
        value = value.get("config", {}).get("value")
    if not isinstance(value, list | tuple):
        return torch.tensor(number(key, value), dtype=torch.float64, device="cpu")
    try:
        tensor = torch.tensor(value, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError):
        raise ValueError(f"{key} must be a number or lists of numbers, received {shown(value)}") from None
    if not tensor.isfinite().all():
        raise ValueError(f"{key} must be finite, received {shown(value)}")
    return tensor


class _Constants(nn.Module):
    """A module whose constants come from its config; they are no state, and take the input's dtype and device."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.dtype = spec.axes, dtype_of(spec.config) or torch.float32
        self.constants: dict[str, Tensor] = {}

    def constant(self, name: str, like: Tensor) -> Tensor:
        return self.constants[name].to(like.device, like.dtype)


def _fits(constant: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a constant broadcasts to this shape."""
    dims = zip(reversed(constant.shape), reversed(shape), strict=False)
    return constant.ndim <= len(shape) and all(n in (1, size) for n, size in dims)


class Rescaling(_Constants):
    """Keras's Rescaling; lists of scales and offsets go along Keras's last axes."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.constants = {"scale": _numbers(spec, "scale"), "offset": _numbers(spec, "offset", 0.0)}
        shape = spec.keras_shape
        if not all(_fits(constant, shape) for constant in self.constants.values()):
            raise ValueError(f"scale and offset do not fit its input of shape {shape}")
        if any(c.ndim for c in self.constants.values()) and not self.axes.channels_last and len(shape) >= 4:
            raise ValueError("a list of scales or offsets is not supported with data_format='channels_first'")
        if spec.version == 2:
            self.constants = {k: c.apply_(round_to_float32) for k, c in self.constants.items()}

    def forward(self, x: Tensor) -> Tensor:
        """X · scale + offset."""
        x = self.axes.to_keras(_floating(x, self.dtype))
        return self.axes.from_keras(x * self.constant("scale", x) + self.constant("offset", x))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value.tolist()}" for name, value in self.constants.items())


class Normalization(_Constants):
    """Keras's Normalization: (x - mean) / max(√variance, 1e-7), or its inverse.

    Mean and variance are weights, which Keras's `adapt` sets, or constants in the config.
    """

    keras_order = True
    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        shape = spec.keras_shape
        given = [] if spec.get("axis", -1) in (None, [], ()) else spec.integers("axis", -1)
        if any(not -len(shape) <= axis < len(shape) for axis in given):
            raise ValueError(f"axis={given} does not exist in an input of {len(shape)} dims")
        kept = sorted({axis % len(shape) for axis in given})
        if 0 in kept:
            raise ValueError("axis=0, the batch, is not supported")
        self.invert = spec.flag("invert", False)
        self.shape = [n if axis in kept else 1 for axis, n in enumerate(shape)]
        if (spec.get("mean") is None) != (spec.get("variance") is None):
            raise ValueError("it must have both mean and variance, or neither")
        if spec.get("mean") is not None:
            self.constants = {name: self._spread(spec, name, kept) for name in ("mean", "variance")}
            if (self.constants["variance"] < 0).any():
                raise ValueError("variance must be at least 0")
            return
        sizes = [shape[axis] for axis in kept]
        self.register_buffer("mean", torch.empty(sizes))
        self.register_buffer("variance", torch.empty(sizes))
        self.register_buffer("count", torch.empty((), dtype=torch.int32))

    def keras_variables(self) -> list[Variable]:
        return held(self, mean="zeros", variance="ones", count="zeros")

    def _spread(self, spec: Spec, name: str, kept: list[int]) -> Tensor:
        """A constant with a dim for each of Keras's; its own are the last of those kept."""
        value = _numbers(spec, name)
        if value.ndim > len(kept):  # Keras 2 gives dims of 1 for the others
            value = value.squeeze()
        if value.ndim > len(kept):
            raise ValueError(f"{name} has {value.ndim} dims, but axis names {len(kept)}")
        shape = [1] * len(self.shape)
        for i in range(1, value.ndim + 1):
            shape[kept[-i]] = value.shape[-i]
        if any(n not in (1, size) for n, size in zip(shape, self.shape, strict=True)):
            raise ValueError(f"{name} of shape {tuple(value.shape)} does not fit its input of shape {spec.keras_shape}")
        return value.reshape(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = self.axes.to_keras(_floating(x, self.dtype))
        if self.constants:
            mean, variance = self.constant("mean", x), self.constant("variance", x)
        else:
            mean, variance = self.mean.view(self.shape), self.variance.view(self.shape)
        deviation = variance.sqrt().clamp(min=1e-7)
        return self.axes.from_keras(x * deviation + mean if self.invert else (x - mean) / deviation)


def _encoded(x: Tensor, mode: str, depth: int, dtype: torch.dtype, weights: Tensor | None = None) -> Tensor:
    """Categories as vectors; those outside 0 to depth - 1 give zeros.

    One-hot vectors take the place of a last dim of 1; others are united or counted along dim 1.
    """
    if mode == "one_hot" and x.ndim > 1 and x.shape[-1] == 1:
        x = x.squeeze(-1)
    hot = (x.long().unsqueeze(-1) == torch.arange(depth, device=x.device)).to(dtype)
    if mode == "one_hot":
        return hot
    return hot.amax(1) if mode == "multi_hot" else (hot if weights is None else hot * weights.unsqueeze(-1)).sum(1)


def _check_dims(spec: Spec, mode: str) -> None:
    if mode in ("multi_hot", "count") and len(spec.shapes[0]) < 2:
        raise ValueError(f"output_mode={mode!r} takes an input of two dims or more, received {spec.shapes[0]}")


class CategoryEncoding(nn.Module):
    """Keras's CategoryEncoding."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.dtype = spec.axes, dtype_of(spec.config) or torch.float32
        self.depth, self.mode = spec.size("num_tokens"), spec.one_of("output_mode", _MODES, "multi_hot")
        _check_dims(spec, self.mode)

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:
        if count_weights is not None and self.mode != "count":
            raise ValueError(f"count_weights needs output_mode='count', received output_mode={self.mode!r}")
        x = self.axes.to_keras(x)
        weights = None if count_weights is None else self.axes.to_keras(count_weights).to(self.dtype)
        return self.axes.from_keras(_encoded(x, self.mode, self.depth, self.dtype, weights))

    def extra_repr(self) -> str:
        return f"{self.depth}, {self.mode}"


class Discretization(_Constants):
    """Keras's Discretization: the index of the bin [bᵢ₋₁, bᵢ) that holds each number, or its encoding."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("num_bins")
        spec.get("epsilon")
        if spec.get("bin_boundaries") is None:
            raise ValueError("it has no bin_boundaries: call Keras's adapt before you save the net")
        self.constants = {"boundaries": _numbers(spec, "bin_boundaries")}
        boundaries = self.constants["boundaries"]
        if boundaries.ndim != 1 or (boundaries.diff() < 0).any():
            raise ValueError(f"bin_boundaries must be a list in ascending order, received {boundaries.tolist()}")
        self.mode = spec.one_of("output_mode", {"int": "int", **_MODES}, "int")
        _check_dims(spec, self.mode)

    def forward(self, x: Tensor) -> Tensor:
        x = self.axes.to_keras(_floating(x, self.dtype))
        boundaries = self.constant("boundaries", x)
        index = torch.bucketize(x.contiguous(), boundaries, right=True)
        if self.mode != "int":
            index = _encoded(index, self.mode, len(boundaries) + 1, self.dtype)
        return self.axes.from_keras(index)
