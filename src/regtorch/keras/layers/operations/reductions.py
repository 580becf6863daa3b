"""Operations of `keras.ops` along axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.layers import activation
from regtorch.keras.layers.operations.operation import Make, of_floats, of_numbers, operation
from regtorch.keras.spec import Spec

__all__ = [
    "REDUCTIONS",
    "argmax",
    "cumsum",
    "deviation",
    "every",
    "largest",
    "least",
    "logsumexp",
    "mean",
    "product",
    "some",
    "total",
    "variance",
]

Axis = int | Sequence[int] | None


def _dims(x: Tensor, axis: Axis) -> list[int]:
    """The dims of an axis, several, or all."""
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    if not all(-x.ndim <= a < x.ndim for a in axes):
        raise ValueError(f"axis {axis} does not exist in {x.ndim} dims")
    return sorted({a % x.ndim for a in axes})


def _reduced(
    function: Callable[..., Tensor], x: Tensor, axis: Axis = None, keepdims: bool = False, **settings: Any
) -> Tensor:
    """A function of x, dims and keepdims."""
    dims = _dims(x, axis)
    return function(x, dims, keepdims, **settings) if dims else x


def _over_one(
    function: Callable[..., Any], x: Tensor, axis: Axis = None, keepdims: bool = False, **settings: Any
) -> Tensor:
    """A function of x and one dim: several dims are made one."""
    dims = _dims(x, axis)
    kept = [dim for dim in range(x.ndim) if dim not in dims]
    y = function(x.permute(*kept, *dims).flatten(len(kept)), -1, **settings)
    return y.reshape([1 if dim in dims else n for dim, n in enumerate(x.shape)]) if keepdims else y


def _any(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    return torch.any(x, dims, keepdims)


def _all(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    return torch.all(x, dims, keepdims)


def _var(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    return torch.var(x, dims, correction=0, keepdim=keepdims)


def _std(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    return torch.std(x, dims, correction=0, keepdim=keepdims)


def _initial(function: Any, pair: Any, x: Tensor, dims: list[int], keepdims: bool, initial: Any = None) -> Tensor:
    y = function(x, dims, keepdims)
    return y if initial is None else pair(y, torch.as_tensor(initial, dtype=y.dtype, device=y.device))


def _count_nonzero(x: Tensor, axis: Axis = None) -> Tensor:
    return torch.count_nonzero(x, _dims(x, axis))


def _along(function: Callable[..., Tensor], x: Tensor, axis: int | None = -1) -> Tensor:
    return function(x.flatten(), 0) if axis is None else function(x, axis)


def _softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """Over several axes at once, None being all."""
    return activation.softmax_over(x, _dims(x, axis))


def _softmax_of(spec: Spec) -> nn.Module:
    """The layer where there is one axis, so that `logits=True` recognises it."""
    if type(spec.config.get("axis", -1)) is int:
        return activation.Softmax(spec)
    return operation(partial(of_floats, _softmax), "axis")(spec)


def _average(x: Tensor, weights: Tensor | None = None, axis: int | None = None) -> Tensor:
    if weights is None:
        return x.mean() if axis is None else x.mean(axis)
    if weights.shape != x.shape and axis is not None:
        weights = weights.reshape([n if dim == axis % x.ndim else 1 for dim, n in enumerate(x.shape)])
    weights = weights.to(x.dtype).broadcast_to(x.shape)
    total = (x * weights).sum() if axis is None else (x * weights).sum(axis)
    return total / (weights.sum() if axis is None else weights.sum(axis))


def _norm(x: Tensor, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    dims = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    return torch.linalg.norm(x, ord, dims, keepdims)


def _normalize(x: Tensor, axis: Axis = -1, order: float = 2, epsilon: float | None = None) -> Tensor:
    """Keras's epsilon is the least norm."""
    norm = torch.linalg.vector_norm(x, order, _dims(x, axis), keepdim=True)
    return x / norm.clamp(min=1e-7 if epsilon is None else epsilon)


def _moments(x: Tensor, axes: Axis, keepdims: bool = False, synchronized: bool = False) -> tuple[Tensor, Tensor]:
    if synchronized:
        raise ValueError("synchronized moments are not supported")
    return _reduced(torch.mean, x, axes, keepdims), _reduced(_var, x, axes, keepdims)


def _median(x: Tensor, dim: int) -> Tensor:
    return torch.quantile(x, 0.5, dim)


def _range(x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    return x.amax(dims, keepdims) - x.amin(dims, keepdims)


def _known(function: Callable[..., Tensor], x: Tensor, dims: list[int], keepdims: bool) -> Tensor:
    """An extreme of what is not NaN; NaN where nothing is."""
    nothing = torch.inf if function is torch.amin else -torch.inf
    y = function(x.nan_to_num(nothing, torch.inf, -torch.inf), dims, keepdims)
    return y.masked_fill(x.isnan().all(dims, keepdims), torch.nan)


mean, total, logsumexp = (partial(_reduced, f) for f in (torch.mean, torch.sum, torch.logsumexp))
variance, deviation, some, every = (partial(_reduced, f) for f in (_var, _std, _any, _all))
largest = partial(_reduced, partial(_initial, torch.amax, torch.maximum))
least = partial(_reduced, partial(_initial, torch.amin, torch.minimum))
product, argmax, argmin = (partial(_over_one, f) for f in (torch.prod, torch.argmax, torch.argmin))
cumsum, cumprod = (partial(_along, f) for f in (torch.cumsum, torch.cumprod))
_BOTH = ("axis", "keepdims")
_OF_FLOATS = {
    "Mean": mean,
    "Var": variance,
    "Std": deviation,
    "Logsumexp": logsumexp,
    "Median": partial(_over_one, _median),
    "Ptp": partial(_reduced, _range),
    "Nansum": partial(_reduced, torch.nansum),
    "Nanmean": partial(_reduced, torch.nanmean),
    "Nanmax": partial(_reduced, partial(_known, torch.amax)),
    "Nanmin": partial(_reduced, partial(_known, torch.amin)),
}

REDUCTIONS: Mapping[str, Make] = {
    **{name: operation(partial(of_floats, function), *_BOTH) for name, function in _OF_FLOATS.items()},
    **{name: operation(largest, *_BOTH, "initial") for name in ("Max", "Amax")},
    **{name: operation(least, *_BOTH, "initial") for name in ("Min", "Amin")},
    "Sum": of_numbers(total, *_BOTH),
    "Prod": of_numbers(product, *_BOTH),
    "Any": operation(some, *_BOTH),
    "All": operation(every, *_BOTH),
    "Argmax": operation(argmax, *_BOTH),
    "Argmin": operation(argmin, *_BOTH),
    "CountNonzero": operation(_count_nonzero, "axis"),
    "Cumsum": of_numbers(cumsum, "axis"),
    "Cumprod": operation(partial(of_floats, cumprod), "axis"),
    "LogSoftmax": operation(partial(of_floats, partial(_along, torch.log_softmax)), "axis"),
    "Norm": operation(partial(of_floats, _norm), "ord", *_BOTH),
    "Average": operation(partial(of_floats, _average), "axis"),
    "Normalize": operation(partial(of_floats, _normalize), "axis", "order", "epsilon"),
    "Moments": operation(partial(of_floats, _moments), "axes", "keepdims", "synchronized"),
    "Softmax": _softmax_of,
}
