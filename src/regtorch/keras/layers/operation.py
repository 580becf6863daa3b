"""Calls of `keras.ops`, which take tensors and constants, on tensors in Keras's order of dims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.layers import activation
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec
from regtorch.keras.trees import mapped

__all__ = ["OPERATIONS", "Operation"]


class Operation(nn.Module):
    """A function of tensors and constants.

    Attributes:
        function: it gets and returns tensors in Keras's order of dims.
        arguments: a tree of keys, which stand for the tensors that `forward` gets, and constants.
        keywords: the same, by name.
    """

    keras_order = True

    def __init__(self, spec: Spec, function: Callable[..., Any]) -> None:
        super().__init__()
        self.axes, self.function = spec.axes, function
        self.arguments, self.keywords = spec.call.arguments, spec.call.keywords

    def forward(self, *tensors: Tensor) -> Any:
        given = iter(tensors)
        arguments, keywords = mapped((self.arguments, dict(self.keywords)), lambda _: self.axes.to_keras(next(given)))
        output = self.function(*arguments, **keywords)
        if isinstance(output, list | tuple):
            return tuple(self.axes.from_keras(part) for part in output)
        return self.axes.from_keras(output)

    def output_masks(self, masks: Masks, *inputs: Tensor) -> None:
        return None

    def extra_repr(self) -> str:
        return getattr(self.function, "__name__", "")


def _plain(function: Callable[..., Any], *settings: str) -> Callable[[Spec], nn.Module]:
    """An operation whose settings have the same names in the function."""

    def make(spec: Spec) -> nn.Module:
        given = {name: spec.get(name) for name in settings if name in spec.config}
        return Operation(spec, partial(function, **given) if given else function)

    return make


def _concatenate(xs: list[Tensor], axis: int | None = 0) -> Tensor:
    return torch.cat(xs, 0 if axis is None else axis)


def _softmax(x: Tensor, axis: int | list[int] | None = -1) -> Tensor:
    """Over several axes at once, None being all."""
    dims = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    dims = [dim % x.ndim for dim in dims]
    kept = [dim for dim in range(x.ndim) if dim not in dims]
    moved = x.permute(*kept, *dims)
    flat = moved.flatten(len(kept)).softmax(-1)
    return flat.reshape(moved.shape).permute(*(sorted(range(x.ndim), key=[*kept, *dims].__getitem__)))


def _of_floats(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that refuses whole numbers: Keras computes with them in their own dtype, and wraps."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(x, float) or (isinstance(x, Tensor) and x.is_floating_point()) for x in args):
            raise ValueError("integer inputs are not supported")
        return function(*args, **kwargs)

    return checked


def _of_two(function: Callable[[Any, Any], Tensor]) -> Callable[[Spec], nn.Module]:
    """An operation on x1 and x2, either of which may be a number."""

    @wraps(function)
    def compute(x1: Any, x2: Any) -> Tensor:
        x, y = (torch.as_tensor(value) for value in (x1, x2))
        return function(x, y)

    return _plain(_of_floats(compute))


def _softmax_of(spec: Spec) -> nn.Module:
    """The layer where there is one axis, so that `logits=True` recognises it."""
    if type(spec.config.get("axis", -1)) is int:
        return activation.Softmax(spec)
    return _plain(_softmax, "axis")(spec)


OPERATIONS: Mapping[str, Callable[[Spec], nn.Module]] = {
    "Add": _of_two(torch.add),
    "Subtract": _of_two(torch.sub),
    "Multiply": _of_two(torch.mul),
    "Maximum": _of_two(torch.maximum),
    "Minimum": _of_two(torch.minimum),
    "NotEqual": _plain(torch.ne),
    "Concatenate": _plain(_concatenate, "axis"),
    "Softmax": _softmax_of,
}
