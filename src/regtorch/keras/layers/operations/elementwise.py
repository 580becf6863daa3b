"""Operations of `keras.ops` on each value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.layers.operations.operation import Make, of_floats, of_numbers, of_two, operation
from regtorch.keras.sparse_activations import sparse_plus, sparse_sigmoid, sparsemax, squareplus

__all__ = ["ELEMENTWISE", "cast", "divide_no_nan", "gelu", "identity", "softplus", "squared_difference", "where"]


def divide_no_nan(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(y == 0, 0, x / torch.where(y == 0, 1, y))


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square()


def where(condition: Tensor, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise ValueError("the positions of what is true are not supported: their number depends on the values")
    return of_two(partial(torch.where, condition), x1, x2)


def _clip(x: Tensor, x_min: Any, x_max: Any) -> Tensor:
    return x.clamp(x_min, x_max)


def _round(x: Tensor, decimals: int = 0) -> Tensor:
    return torch.round(x, decimals=decimals)


def cast(x: Tensor, dtype: str) -> Tensor:
    kind = getattr(torch, dtype, None)
    if dtype.startswith(("int", "uint")):
        kind = torch.int64  # whole numbers of every kind
    if not isinstance(kind, torch.dtype):
        raise ValueError(f"the dtype {dtype} is not supported")
    return x.trunc().to(kind) if kind == torch.int64 and x.is_floating_point() else x.to(kind)


def _converted(x: Tensor, dtype: str | None = None, sparse: bool | None = None, ragged: bool | None = None) -> Tensor:
    if sparse or ragged:
        raise ValueError("sparse and ragged tensors are not supported; give Keras's net dense ones")
    return x if dtype is None else cast(x, dtype)


def gelu(x: Tensor, approximate: bool = True) -> Tensor:
    return F.gelu(x, approximate="tanh" if approximate else "none")


def softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=50)  # torch's own threshold of 20 leaves an error of 1e-10 in float64


def _leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    return F.leaky_relu(x, negative_slope)


def _threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    return torch.where(x > threshold, x, default_value)


def _shrink(function: Any, x: Tensor, threshold: float = 0.5) -> Tensor:
    return function(x, threshold)


def _glu(x: Tensor, axis: int = -1) -> Tensor:
    return F.glu(x, axis)


def identity(x: Tensor) -> Tensor:
    return x


def _cbrt(x: Tensor) -> Tensor:
    return x.sign() * x.abs().pow(1 / 3)


def _isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, *, equal_nan: bool = False) -> Tensor:
    return of_two(partial(torch.isclose, rtol=rtol, atol=atol, equal_nan=equal_nan), x1, x2)


def _full_like(x: Tensor, fill_value: Any, *, dtype: str | None = None) -> Tensor:
    y = torch.as_tensor(fill_value, dtype=x.dtype, device=x.device).expand_as(x)
    return y if dtype is None else cast(y, dtype)


def _select(conditions: list[Tensor], choices: list[Any], default: Any = 0) -> Tensor:
    """The first choice whose condition holds."""
    output = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        output = where(condition, choice, output)
    return output


def _like(function: Any, x: Tensor, dtype: str | None = None) -> Tensor:
    y = function(x)
    return y if dtype is None else cast(y, dtype)


_OF_ONE = {
    **{name: getattr(torch, name.lower()) for name in ("Ceil", "Floor", "Trunc", "Sqrt", "Rsqrt")},
    **{name: getattr(torch, name.lower()) for name in ("Exp", "Exp2", "Expm1", "Log", "Log2", "Log10", "Log1p")},
    **{name: getattr(torch, name.lower()) for name in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Sinc")},
    **{f"Arc{name}": getattr(torch, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(torch, name.lower()) for name in ("Reciprocal", "Erf", "Erfinv", "Sigmoid")},
    "Erfc": torch.erfc,
    "Relu": torch.relu,
    "Relu6": F.relu6,
    "Silu": F.silu,
    "Softsign": F.softsign,
    "LogSigmoid": F.logsigmoid,
    "HardSigmoid": F.hardsigmoid,
    "HardSilu": F.hardswish,
    "HardTanh": F.hardtanh,
    "Selu": F.selu,
    "TanhShrink": F.tanhshrink,
    "Softplus": softplus,
    "SparsePlus": sparse_plus,
    "SparseSigmoid": sparse_sigmoid,
    "Cbrt": _cbrt,
    "Deg2rad": torch.deg2rad,
    "Rad2deg": torch.rad2deg,
    "Fabs": torch.abs,
    "I0": torch.i0,
    **dict.fromkeys(("Real", "Conj", "Conjugate"), identity),
    "Imag": torch.zeros_like,
}
_WITH_SETTINGS = {
    "Round": (_round, "decimals"),
    "Gelu": (gelu, "approximate"),
    "LeakyRelu": (_leaky_relu, "negative_slope"),
    "Elu": (F.elu, "alpha"),
    "Celu": (F.celu, "alpha"),
    "Squareplus": (squareplus, "b"),
    "Threshold": (_threshold, "threshold", "default_value"),
    "HardShrink": (partial(_shrink, F.hardshrink), "threshold"),
    "SoftShrink": (partial(_shrink, F.softshrink), "threshold"),
    "Glu": (_glu, "axis"),
    "Sparsemax": (sparsemax, "axis"),
    "NanToNum": (torch.nan_to_num, "nan", "posinf", "neginf"),
}
_OF_TWO = {
    "DivideNoNan": divide_no_nan,
    "Power": torch.pow,
    "Fmod": torch.fmod,
    "Fmax": torch.fmax,
    "Fmin": torch.fmin,
    "Arctan2": torch.atan2,
    "Hypot": torch.hypot,
    "Logaddexp": torch.logaddexp,
    "Logaddexp2": torch.logaddexp2,
}
_OF_TWO_NUMBERS = {"Add": torch.add, "Subtract": torch.sub, "Multiply": torch.mul}
_OF_NUMBERS = {
    "Absolute": torch.abs,
    "Abs": torch.abs,
    "Negative": torch.neg,
    "Sign": torch.sign,
    "Square": torch.square,
}
_OF_ANY_TWO = {  # of whole numbers too, whose results cannot wrap
    **dict.fromkeys(("Divide", "TrueDivide"), torch.div),
    "FloorDivide": torch.floor_divide,
    "Mod": torch.remainder,
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
    "Equal": torch.eq,
    "NotEqual": torch.ne,
    "Greater": torch.gt,
    "GreaterEqual": torch.ge,
    "Less": torch.lt,
    "LessEqual": torch.le,
    "LogicalAnd": torch.logical_and,
    "LogicalOr": torch.logical_or,
    "LogicalXor": torch.logical_xor,
}

ELEMENTWISE: Mapping[str, Make] = {
    **{name: operation(partial(of_floats, function)) for name, function in _OF_ONE.items()},
    **{name: operation(partial(of_floats, f), *settings) for name, (f, *settings) in _WITH_SETTINGS.items()},
    "Clip": operation(_clip, "x_min", "x_max"),
    **{name: operation(partial(of_floats, partial(of_two, function))) for name, function in _OF_TWO.items()},
    **{name: operation(partial(of_two, function)) for name, function in _OF_ANY_TWO.items()},
    **{name: of_numbers(partial(of_two, function)) for name, function in _OF_TWO_NUMBERS.items()},
    **{name: of_numbers(function) for name, function in _OF_NUMBERS.items()},
    **{f"Is{name}": operation(getattr(torch, f"is{name}")) for name in ("nan", "inf", "finite", "posinf", "neginf")},
    "Signbit": operation(torch.signbit),
    "Isclose": operation(_isclose, "equal_nan"),
    "Select": operation(_select),
    "FullLike": operation(_full_like, "dtype"),
    "LogicalNot": operation(torch.logical_not),
    "Where": operation(where),
    "Cast": operation(cast, "dtype"),
    "ConvertToTensor": operation(_converted, "dtype", "sparse", "ragged"),
    "Copy": operation(identity),
    "StopGradient": operation(torch.detach),
    "OnesLike": operation(partial(_like, torch.ones_like), "dtype"),
    "ZerosLike": operation(partial(_like, torch.zeros_like), "dtype"),
}
