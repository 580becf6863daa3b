"""A call of `keras.ops`: a function of tensors and constants, on tensors in Keras's order of dims."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec
from regtorch.keras.trees import mapped

__all__ = ["Make", "Operation", "for_numbers", "of_floats", "of_numbers", "of_two", "operation"]

Make = Callable[[Spec], nn.Module]


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
        self.arguments, self.keywords = spec.call.arguments, dict(spec.call.keywords)

    def forward(self, *tensors: Tensor) -> Any:
        given = iter(tensors)
        arguments, keywords = mapped((self.arguments, self.keywords), lambda _: self.axes.to_keras(next(given)))
        output = self.function(*arguments, **keywords)
        if isinstance(output, list | tuple):
            return tuple(self.axes.from_keras(part) for part in output)
        return self.axes.from_keras(output)

    def output_masks(self, masks: Masks, *inputs: Tensor) -> None:
        """Operations drop masks."""
        return

    def extra_repr(self) -> str:
        function = self.function.func if isinstance(self.function, partial) else self.function
        return getattr(function, "__name__", "")


def operation(function: Callable[..., Any], *settings: str) -> Make:
    """An operation whose settings in the config are the function's keywords."""

    def make(spec: Spec) -> nn.Module:
        given = {name: spec.get(name) for name in settings if name in spec.config}
        return Operation(spec, partial(function, **given) if given else function)

    return make


def of_floats(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Refuse whole numbers: Keras computes with them in their own dtype, and wraps."""
    if not any(isinstance(x, float) or (isinstance(x, Tensor) and x.is_floating_point()) for x in args):
        raise ValueError("inputs of whole numbers are not supported; cast them in Keras: keras.ops.cast(x, 'float32')")
    return function(*args, **kwargs)


def of_numbers(function: Callable[..., Any], *settings: str) -> Make:
    """An operation on whole numbers too, unless the net has ones of 8 or 16 bits, with which Keras wraps."""

    def make(spec: Spec) -> nn.Module:
        return operation(for_numbers(spec, function), *settings)(spec)

    return make


def for_numbers(spec: Spec, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a check that Keras would not wrap its whole numbers in this net."""
    return partial(of_floats if spec.narrow else _not_of_bools, function)


def _not_of_bools(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if any(isinstance(x, Tensor) and x.dtype == torch.bool for x in args):
        raise ValueError("inputs of bools are not supported; cast them in Keras: keras.ops.cast(x, 'int32')")
    return function(*args, **kwargs)


def of_two(function: Callable[[Tensor, Tensor], Tensor], x1: Any, x2: Any) -> Tensor:
    """A function of x1 and x2, either of which may be a number or a constant, which takes the other's dtype."""
    floats = [x for x in (x1, x2) if isinstance(x, Tensor) and x.is_floating_point()]
    others = [x for x in (x1, x2) if isinstance(x, Tensor)]
    like = max(floats or others or [torch.empty(())], key=lambda x: x.device.type != "cpu")
    return function(_like(x1, like), _like(x2, like))


def _like(value: Any, other: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        both = value.is_floating_point() and other.is_floating_point()
        return value.to(other.device, other.dtype if both else value.dtype)
    dtype = other.dtype if isinstance(value, float) and other.is_floating_point() else None
    return torch.as_tensor(value, dtype=dtype, device=other.device)
