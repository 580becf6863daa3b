"""Keras's initializers, drawn in Keras's layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.identifiers import identify
from regtorch.keras.quantity import number

__all__ = ["initialize"]

Shape = tuple[int, ...]
Draw = Callable[[Shape, dict[str, Any], torch.Generator | None], Tensor]

_TRUNCATED = 0.87962566103423978  # standard deviation of a standard normal truncated at ±2


def initialize(
    identifier: Any, shape: Shape, generator: torch.Generator | None, fans: tuple[Shape, Shape] | None = None
) -> Tensor:
    """A float64 tensor of a Keras variable's shape, drawn by the initializer (not Keras's own random numbers).

    `fans` are the axes of its inputs and of its outputs, unless the initializer names them itself.

    Raises:
        ValueError: the initializer or an argument is unknown, or a custom one returns a wrong shape.
    """
    if callable(identifier):
        drawn = identifier(shape, generator)
        if not isinstance(drawn, Tensor) or tuple(drawn.shape) != shape:
            raise ValueError(f"initializer: expected a tensor of shape {shape}, received {shown(drawn)}")
        return drawn.to("cpu", torch.float64)
    if isinstance(identifier, str):
        identifier = _ALIASES.get(identifier, identifier)
    name, config = identify("initializer", identifier, _INITIALIZERS)
    draw, defaults = _INITIALIZERS[name]
    config.pop("seed", None)
    config.pop("dtype", None)
    own = config.pop("input_axes", None), config.pop("output_axes", None)
    unknown = sorted(k for k, v in config.items() if k not in defaults and v is not None)
    if unknown:
        raise ValueError(f"initializer: {name} has no {', '.join(unknown)}; it has {', '.join(defaults) or 'none'}")
    given = defaults | {k: v for k, v in config.items() if k in defaults}
    given["fans"] = _fans(shape, fans if None in own else own)
    least = {"stddev": 0.0, "scale": 0.0}
    for key, default in defaults.items():
        if isinstance(default, float):
            given[key] = number(f"initializer: {name}'s {key}", given[key], least.get(key))
    return draw(shape, given, generator)


def _empty(shape: Shape) -> Tensor:
    return torch.empty(shape, dtype=torch.float64, device="cpu")


def _fans(shape: Shape, axes: Any) -> tuple[float, float]:
    """The numbers of inputs and outputs of a unit: the sizes of these axes, or of a kernel (…, in, out)."""
    if axes is not None:
        if not all(isinstance(a, list | tuple) and all(type(i) is int for i in a) for a in axes):
            raise ValueError(f"initializer: input_axes and output_axes must be lists of axes, received {shown(axes)}")
        fan_in, fan_out = (math.prod(shape[axis] for axis in part) for part in axes)
        return fan_in, fan_out
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    positions = math.prod(shape[:-2])
    return shape[-2] * positions, shape[-1] * positions


def _variance_scaling(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    fan_in, fan_out = c["fans"]
    modes = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if not isinstance(c["mode"], str) or c["mode"] not in modes:
        raise ValueError(f"initializer: mode must be one of {', '.join(modes)}, received {shown(c['mode'])}")
    deviation = math.sqrt(c["scale"] / max(1.0, modes[c["mode"]]))
    kind = str(c["distribution"]).lower()
    if kind in ("truncated_normal", "normal"):
        c = {"mean": 0.0, "stddev": deviation / _TRUNCATED}
        return _truncated_normal(shape, c, generator)
    if kind == "untruncated_normal":
        return _empty(shape).normal_(0.0, deviation, generator=generator)
    if kind == "uniform":
        limit = math.sqrt(3.0) * deviation
        return _empty(shape).uniform_(-limit, limit, generator=generator)
    raise ValueError(
        f"initializer: distribution must be truncated_normal, untruncated_normal or uniform, received {shown(kind)}"
    )


def _truncated_normal(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    """Normal numbers, drawn again while they lie more than two deviations away: faster than the inverse of erf."""
    drawn = _empty(shape).normal_(generator=generator)
    flat = drawn.view(-1)
    outside = (flat.abs() > 2).nonzero().flatten()
    while outside.numel():
        again = _empty((outside.numel(),)).normal_(generator=generator)
        flat[outside] = again
        outside = outside[again.abs() > 2]
    return drawn.mul_(c["stddev"]).add_(c["mean"])


def _uniform(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    low, high = c["minval"], c["maxval"]
    if low > high:
        raise ValueError(f"initializer: RandomUniform's minval must be at most its maxval, received {low} and {high}")
    return _empty(shape).uniform_(low, high, generator=generator)


def _orthogonal(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    if len(shape) < 2:
        raise ValueError(f"initializer: Orthogonal needs a variable of two dims or more, not of shape {shape}")
    flat = _empty((math.prod(shape[:-1]), shape[-1]))
    return nn.init.orthogonal_(flat, c["gain"], generator=generator).reshape(shape)


def _identity(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    if len(shape) != 2:
        raise ValueError(f"initializer: Identity needs a variable of two dims, not of shape {shape}")
    return c["gain"] * torch.eye(*shape, dtype=torch.float64, device="cpu")


def _constant(shape: Shape, c: dict[str, Any], generator: torch.Generator | None) -> Tensor:
    return torch.full(shape, c["value"], dtype=torch.float64, device="cpu")


def _always(value: float) -> tuple[Draw, dict[str, Any]]:
    return lambda shape, c, generator: _constant(shape, {"value": value}, generator), {}


def _scaled(scale: float, mode: str, distribution: str) -> tuple[Draw, dict[str, Any]]:
    fixed = {"scale": scale, "mode": mode, "distribution": distribution}
    return lambda shape, c, generator: _variance_scaling(shape, c | fixed, generator), {}


_INITIALIZERS: Mapping[str, tuple[Draw, dict[str, Any]]] = {
    "GlorotUniform": _scaled(1.0, "fan_avg", "uniform"),
    "GlorotNormal": _scaled(1.0, "fan_avg", "truncated_normal"),
    "HeUniform": _scaled(2.0, "fan_in", "uniform"),
    "HeNormal": _scaled(2.0, "fan_in", "truncated_normal"),
    "LecunUniform": _scaled(1.0, "fan_in", "uniform"),
    "LecunNormal": _scaled(1.0, "fan_in", "truncated_normal"),
    "VarianceScaling": (_variance_scaling, {"scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal"}),
    "Zeros": _always(0.0),
    "Ones": _always(1.0),
    "Constant": (_constant, {"value": 0.0}),
    "RandomNormal": (
        lambda shape, c, g: _empty(shape).normal_(c["mean"], c["stddev"], generator=g),
        {"mean": 0.0, "stddev": 0.05},
    ),
    "RandomUniform": (_uniform, {"minval": -0.05, "maxval": 0.05}),
    "TruncatedNormal": (_truncated_normal, {"mean": 0.0, "stddev": 0.05}),
    "Orthogonal": (_orthogonal, {"gain": 1.0}),
    "OrthogonalInitializer": (_orthogonal, {"gain": 1.0}),
    "Identity": (_identity, {"gain": 1.0}),
    "IdentityInitializer": (_identity, {"gain": 1.0}),
}

# Keras's short names.
_ALIASES = {"uniform": "RandomUniform", "normal": "RandomNormal", "zero": "Zeros", "one": "Ones"}
