"""Keras's activations as torch modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.origin import is_user_defined
from regtorch.keras.rounding import round_to_float32
from regtorch.keras.sparse_activations import sparse_plus, sparse_sigmoid, sparsemax, squareplus

__all__ = ["Elementwise", "activation", "leaky", "rectifier"]


class Elementwise(nn.Module):
    """Wrap a function that torch has no module for."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.function = name, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return self.name


def _hard_sigmoid_2(x: Tensor) -> Tensor:
    return (0.2 * x + 0.5).clamp(0, 1)


def _gelu_2(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / round_to_float32(math.sqrt(2))))


def _selu_2(x: Tensor) -> Tensor:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return scale * torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0)), x)  # the slope at 0 is that of x > 0


def _softplus() -> nn.Module:
    return nn.Softplus(threshold=50)  # torch's own threshold of 20 leaves an error of 1e-10 in float64


# Each takes the channel dim (Keras's last axis).
_ACTIVATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "linear": lambda dim: nn.Identity(),
    "relu": lambda dim: nn.ReLU(),
    "sigmoid": lambda dim: nn.Sigmoid(),
    "tanh": lambda dim: nn.Tanh(),
    "softmax": lambda dim: nn.Softmax(dim),
    "log_softmax": lambda dim: nn.LogSoftmax(dim),
    "relu6": lambda dim: nn.ReLU6(),
    "leaky_relu": lambda dim: nn.LeakyReLU(0.2),
    "elu": lambda dim: nn.ELU(),
    "selu": lambda dim: nn.SELU(),
    "celu": lambda dim: nn.CELU(),
    "gelu": lambda dim: nn.GELU(),
    "silu": lambda dim: nn.SiLU(),
    "swish": lambda dim: nn.SiLU(),
    "mish": lambda dim: nn.Mish(),
    "softplus": lambda dim: _softplus(),
    "softsign": lambda dim: nn.Softsign(),
    "log_sigmoid": lambda dim: nn.LogSigmoid(),
    "hard_tanh": lambda dim: nn.Hardtanh(),
    "hard_silu": lambda dim: nn.Hardswish(),
    "hard_swish": lambda dim: nn.Hardswish(),
    "hard_sigmoid": lambda dim: nn.Hardsigmoid(),
    "tanh_shrink": lambda dim: nn.Tanhshrink(),
    "exponential": lambda dim: Elementwise("exponential", torch.exp),
    "glu": lambda dim: nn.GLU(dim),
    "hard_shrink": lambda dim: nn.Hardshrink(),
    "soft_shrink": lambda dim: nn.Softshrink(),
    "sparse_plus": lambda dim: Elementwise("sparse_plus", sparse_plus),
    "sparse_sigmoid": lambda dim: Elementwise("sparse_sigmoid", sparse_sigmoid),
    "sparsemax": lambda dim: Elementwise("sparsemax", partial(sparsemax, axis=dim)),
    "squareplus": lambda dim: Elementwise("squareplus", squareplus),
}

# What Keras 2 computes differently, or with constants rounded to float32.
_ACTIVATIONS_2: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": lambda: Elementwise("gelu", _gelu_2),
    "selu": lambda: Elementwise("selu", _selu_2),
    "hard_sigmoid": lambda: Elementwise("hard_sigmoid", _hard_sigmoid_2),
    "leaky_relu": lambda: leaky(0.2, 2),
}


def leaky(slope: float, version: int) -> nn.LeakyReLU:
    """A leaky ReLU; Keras 2 rounds its slope to float32."""
    return nn.LeakyReLU(round_to_float32(slope) if version == 2 else slope)


def activation(identifier: Any, dim: int, version: int) -> nn.Module:
    """The module for Keras's `activation=`, as Keras 2 or 3 computes it; a module is returned unchanged.

    Raises:
        ValueError: it is not supported.
    """
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "function":
        function = identifier.get("config")
        if is_user_defined({**identifier, "class_name": function}):
            name = str(function).rpartition(">")[2]
            raise ValueError(
                f"activation {shown(function)} is a user-defined function, which is not supported; give custom_objects="
                f"{{{name!r}: a function of its config that returns a module}}"
            )
        identifier = function
    if identifier is None:
        return nn.Identity()
    if isinstance(identifier, nn.Module):
        return identifier
    if version == 2 and isinstance(identifier, str) and identifier in _ACTIVATIONS_2:
        return _ACTIVATIONS_2[identifier]()
    if not isinstance(identifier, str) or identifier not in _ACTIVATIONS:
        raise ValueError(f"activation {shown(identifier)} is not supported; supported are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[identifier](dim)


def rectifier(slope: float, max_value: float | None, threshold: float, version: int) -> nn.Module:
    """Keras's ReLU with every setting: x if x ≥ threshold, else slope · (x - threshold), capped at `max_value`."""
    if max_value is None and not threshold:
        return leaky(slope, version) if slope else nn.ReLU()
    if max_value == 6 and not threshold and not slope:
        return nn.ReLU6()  # in one pass

    function = partial(_rectify, slope=slope, max_value=max_value, threshold=threshold)
    return Elementwise(f"relu(negative_slope={slope:g}, max_value={max_value}, threshold={threshold:g})", function)


def _rectify(x: Tensor, slope: float, max_value: float | None, threshold: float) -> Tensor:
    y = torch.where(x >= threshold, x, slope * (x - threshold)) if threshold else F.leaky_relu(x, slope)
    return y if max_value is None else y.clamp(max=max_value)
