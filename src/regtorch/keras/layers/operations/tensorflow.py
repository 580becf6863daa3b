"""TensorFlow's functions in Keras 2's nets: TFOpLambda and SlicingOpLambda."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.layers.operations import elementwise, reductions, shapes
from regtorch.keras.layers.operations.operation import Make, Operation, for_numbers, of_floats, of_two
from regtorch.keras.spec import Spec

__all__ = ["TENSORFLOW"]


def _named(function: Callable[..., Any], x: Any, /, **keywords: Any) -> Any:
    """Without the settings that change nothing."""
    return function(x, **{k: v for k, v in keywords.items() if k not in ("name", "conjugate")})


def _two(function: Any, x: Any, y: Any) -> Tensor:
    return of_floats(partial(of_two, function), x, y)


def _pair(function: Any, x: Any, y: Any) -> Tensor:
    return function(x, y)


def _compared(function: Any, x: Any, y: Any) -> Tensor:
    return of_two(function, x, y)


def _reduce(function: Any, x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return function(x, axis=axis, keepdims=keepdims)


def _matmul(a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False, **other: Any) -> Tensor:
    _refuse_on(other)
    return (a.mT if transpose_a else a) @ (b.mT if transpose_b else b)


def _transpose(a: Tensor, perm: Sequence[int] | None = None) -> Tensor:
    return shapes.transpose(a, perm)


def _split(value: Tensor, num_or_size_splits: Any, axis: int = 0, num: int | None = None) -> tuple[Tensor, ...]:
    if isinstance(num_or_size_splits, int):
        return shapes.split(value, num_or_size_splits, axis)
    return torch.split(value, list(num_or_size_splits), axis)


def _reshape(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    return shapes.reshape(tensor, shape)


def _tile(x: Tensor, multiples: Sequence[int]) -> Tensor:
    return x.tile(list(multiples))


def _clip(t: Tensor, clip_value_min: Any, clip_value_max: Any) -> Tensor:
    return t.clamp(clip_value_min, clip_value_max)


def _gather(x: Tensor, indices: Any, axis: int = 0, batch_dims: int = 0, validate_indices: Any = None) -> Tensor:
    if batch_dims:
        raise ValueError(f"batch_dims={batch_dims} is not supported")
    return shapes.take(x, indices, axis)


def _pad(x: Tensor, paddings: Any, mode: str = "CONSTANT", constant_values: float = 0) -> Tensor:
    return shapes.pad(x, constant_values, pad_width=paddings, mode=mode.lower())


def _l2_normalize(x: Tensor, axis: Any = None, epsilon: float = 1e-12) -> Tensor:
    total = reductions.total(x.square(), axis=axis, keepdims=True)
    return x * total.clamp(min=epsilon).rsqrt()


def _one_hot(x: Tensor, depth: int, axis: int | None = None, dtype: str | None = None, **other: Any) -> Tensor:
    if other.get("on_value") not in (None, 1, 1.0) or other.get("off_value") not in (None, 0, 0.0):
        raise ValueError("on_value and off_value are not supported")
    return shapes.one_hot(x, depth, -1 if axis is None else axis, dtype)


def _resize(x: Tensor, size: Sequence[int], method: str = "bilinear", **other: Any) -> Tensor:
    _refuse_on(other)
    if method not in ("bilinear", "nearest"):
        raise ValueError(f"method={method!r} is not supported; supported are 'bilinear' and 'nearest'")
    mode = "bilinear" if method == "bilinear" else "nearest-exact"
    return F.interpolate(x.movedim(-1, 1), size=list(size), mode=mode).movedim(1, -1)


def _refuse_on(other: Mapping[str, Any]) -> None:
    on = {key: value for key, value in other.items() if value not in (None, False)}
    if on:
        raise ValueError(f"{', '.join(f'{key}={shown(value)}' for key, value in on.items())} is not supported")


def _get_item(x: Tensor, slice_spec: Any) -> Tensor:
    parts = slice_spec if isinstance(slice_spec, list | tuple) else [slice_spec]
    key = [slice(p["start"], p["stop"], p["step"]) if isinstance(p, Mapping) else p for p in parts]
    return shapes.get_item(x, key)


def _gelu(features: Tensor, approximate: bool = False) -> Tensor:
    return elementwise.gelu(features, approximate)


def _softmax(logits: Tensor, axis: int | None = None) -> Tensor:
    return logits.softmax(-1 if axis is None else axis)


def _log_softmax(logits: Tensor, axis: int | None = None) -> Tensor:
    return logits.log_softmax(-1 if axis is None else axis)


def _leaky_relu(features: Tensor, alpha: float = 0.2) -> Tensor:
    return F.leaky_relu(features, alpha)


def _where(condition: Tensor, x: Any = None, y: Any = None) -> Tensor:
    return elementwise.where(condition, x, y)


def _depth(function: Any, x: Tensor, block_size: int, data_format: str = "NHWC") -> Tensor:
    if data_format != "NHWC":
        raise ValueError(f"data_format={shown(data_format)} is not supported; supported is 'NHWC'")
    return shapes.depth(function, x, block_size)


def _flipped(dim: int, image: Tensor) -> Tensor:
    return image.flip(dim)


def _sorted(values: Tensor, axis: int = -1, direction: str = "ASCENDING") -> Tensor:
    return values.sort(axis, descending=direction == "DESCENDING").values


def _norm(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    return reductions.total(x.square(), axis=axis, keepdims=keepdims).sqrt()


def _along(function: Any, x: Tensor, axis: int = 0, **other: Any) -> Tensor:
    _refuse_on(other)
    return function(x, axis=axis)


def _add_n(inputs: list[Tensor]) -> Tensor:
    return torch.stack(inputs).sum(0)


_OF_ONE = {
    **{f"math.{name}": getattr(torch, name) for name in ("abs", "square", "sqrt", "rsqrt", "exp", "log", "log1p")},
    **{f"math.{name}": getattr(torch, name) for name in ("sin", "cos", "tan", "tanh", "sigmoid", "sign", "floor")},
    **{f"math.{name}": getattr(torch, name) for name in ("ceil", "erf", "expm1", "reciprocal")},
    **{f"math.{name}": getattr(torch, name) for name in ("asin", "acos", "atan", "sinh", "cosh", "asinh", "round")},
    "math.log_sigmoid": F.logsigmoid,
    "math.negative": torch.neg,
    "math.softplus": elementwise.softplus,
    "nn.relu": torch.relu,
    "nn.relu6": F.relu6,
    "nn.elu": F.elu,
    "nn.selu": F.selu,
    "nn.silu": F.silu,
    "nn.swish": F.silu,
    "nn.softsign": F.softsign,
}
_OF_TWO = {
    "math.truediv": torch.div,
    "math.divide": torch.div,
    "math.divide_no_nan": elementwise.divide_no_nan,
    "math.floordiv": torch.floor_divide,
    "math.floormod": torch.remainder,
    "math.pow": torch.pow,
    "math.maximum": torch.maximum,
    "math.minimum": torch.minimum,
    "math.squared_difference": elementwise.squared_difference,
    "math.atan2": torch.atan2,
}
_NUMBERS = {"add": torch.add, "subtract": torch.sub, "sub": torch.sub, "multiply": torch.mul, "mul": torch.mul}
_OF_TWO_NUMBERS: Mapping[str, Callable[..., Any]] = {
    f"{place}.{name}": partial(of_two, f) for place in ("math", "__operators__") for name, f in _NUMBERS.items()
}
_COMPARED = {
    **{f"math.{name}": getattr(torch, f) for name, f in {"greater": "gt", "less": "lt", "equal": "eq"}.items()},
    **{f"math.{name}": getattr(torch, name) for name in ("greater_equal", "less_equal", "not_equal")},
    **{f"math.{name}": getattr(torch, name) for name in ("logical_and", "logical_or", "logical_xor")},
}
_REDUCED = {
    "mean": reductions.mean,
    "sum": reductions.total,
    "max": reductions.largest,
    "min": reductions.least,
    "variance": reductions.variance,
    "std": reductions.deviation,
    "prod": reductions.product,
    "logsumexp": reductions.logsumexp,
    "any": reductions.some,
    "all": reductions.every,
}
_OTHERS = {
    "concat": shapes.concatenate,
    "stack": shapes.stack,
    "unstack": shapes.unstack,
    "split": _split,
    "reshape": _reshape,
    "expand_dims": shapes.expand_dims,
    "squeeze": shapes.squeeze,
    "transpose": _transpose,
    "gather": _gather,
    "tile": _tile,
    "repeat": shapes.repeat,
    "reverse": shapes.flip,
    "pad": _pad,
    "cast": elementwise.cast,
    "identity": elementwise.identity,
    "stop_gradient": torch.detach,
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "clip_by_value": _clip,
    "linalg.matmul": _matmul,
    "one_hot": _one_hot,
    "image.resize": _resize,
    "math.logical_not": torch.logical_not,
    "math.add_n": _add_n,
    **dict.fromkeys(("math.l2_normalize", "linalg.l2_normalize", "nn.l2_normalize"), _l2_normalize),
    **dict.fromkeys(("math.argmax", "argmax"), reductions.argmax),
    **dict.fromkeys(("math.argmin", "argmin"), reductions.argmin),
    "math.cumsum": partial(_along, reductions.cumsum),
    "math.cumprod": partial(_along, reductions.cumprod),
    "math.is_nan": torch.isnan,
    "math.reduce_euclidean_norm": _norm,
    "sort": _sorted,
    "nn.depth_to_space": partial(_depth, shapes.to_space),
    "nn.space_to_depth": partial(_depth, shapes.to_depth),
    "image.flip_left_right": partial(_flipped, -2),
    "image.flip_up_down": partial(_flipped, -3),
    "nn.gelu": _gelu,
    "nn.leaky_relu": _leaky_relu,
    "nn.softmax": _softmax,
    "nn.log_softmax": _log_softmax,
    "where": _where,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: partial(of_floats, function) for name, function in _OF_ONE.items()},
    **{name: partial(_two, function) for name, function in _OF_TWO.items()},
    **{name: partial(_compared, function) for name, function in _COMPARED.items()},
    **{f"math.reduce_{name}": partial(_reduce, function) for name, function in _REDUCED.items()},
    **_OTHERS,
}


def _tf_operation(spec: Spec) -> nn.Module:
    given = spec.require("function")
    name = str(given).removeprefix("compat.v1.")
    if name in _OF_TWO_NUMBERS:
        return Operation(spec, partial(_named, partial(_pair, for_numbers(spec, _OF_TWO_NUMBERS[name]))))
    if name not in _FUNCTIONS:
        supported = ", ".join(sorted({**_FUNCTIONS, **_OF_TWO_NUMBERS}))
        raise ValueError(f"TensorFlow's {shown(given)} is not supported; supported are {supported}")
    return Operation(spec, partial(_named, _FUNCTIONS[name]))


def _slicing(spec: Spec) -> nn.Module:
    spec.get("function")
    return Operation(spec, _get_item)


TENSORFLOW: Mapping[str, Make] = {"TFOpLambda": _tf_operation, "SlicingOpLambda": _slicing}
