"""EinsumDense, and the projections of attention layers, which are EinsumDense too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.activations import activation
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["EinsumDense", "Projection"]

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class Projection(nn.Module):
    """einsum(equation, x, kernel) + bias, on tensors in Keras's order of dims.

    Args:
        equation: Keras's.
        shape: of the input.
        output_shape: of the output, without the batch and the dims that "..." stands for; None for an input's size.
        bias_axes: the letters of the output's dims along which the bias varies; None for no bias.
        activation: of the output.
    """

    keras_order = True

    def __init__(
        self,
        equation: str,
        shape: Sequence[int],
        output_shape: Sequence[int | None],
        bias_axes: str | None,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.equation, self.activation = equation, activation
        given, weights, output, left, right = _parts(equation)
        elided = len(shape) - len(given)
        if elided < 0 or (elided and not (left or right)):
            raise ValueError(f"equation={equation!r} does not fit its input of {len(shape)} dims")
        sizes = dict(zip(given, shape[elided:] if left else shape, strict=False))
        first = 0 if left and elided else 1  # the batch has a letter of its own unless "..." stands for it
        named = output[first:]
        if len(named) != len(output_shape):
            raise ValueError(f"output_shape={tuple(output_shape)} does not fit equation={equation!r}")
        for letter, size in zip(named, output_shape, strict=True):
            if size is not None and sizes.setdefault(letter, size) != size:
                raise ValueError(
                    f"output_shape={tuple(output_shape)} does not fit its input of shape {tuple(shape)} at {letter!r}"
                )
        unknown = sorted(set(weights + output[first:]) - sizes.keys())
        if unknown:
            raise ValueError(f"output_shape={tuple(output_shape)} leaves the size of {unknown[0]!r} open")
        self.fans = (
            tuple(i for i, letter in enumerate(weights) if letter not in output),
            tuple(i for i, letter in enumerate(weights) if letter in output),
        )
        self.kernel = nn.Parameter(torch.empty([sizes[letter] for letter in weights]))
        self.bias: nn.Parameter | None = None
        if bias_axes is not None:
            if not bias_axes or not set(bias_axes) <= set(named):
                raise ValueError(f"bias_axes={bias_axes!r} must name dims of the output of {equation!r}")
            start = min(map(output.find, bias_axes))
            along = [sizes[letter] if letter in bias_axes else 1 for letter in output[start:]]
            self.bias = nn.Parameter(torch.empty(along + [1] * elided * right))

    def keras_variables(self) -> list[Variable]:
        kernel, *bias = held(self, "kernel", "bias")
        return [replace(kernel, fans=self.fans), *bias]

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum(self.equation, x, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)

    def extra_repr(self) -> str:
        return self.equation


def _parts(equation: str) -> tuple[str, str, str, bool, bool]:
    """The letters of input, kernel and output, and whether "..." is at their left or right."""
    match = _EQUATION.fullmatch(equation.replace(" ", ""))
    dots = [bool(match[i]) for i in (1, 3, 5, 7)] if match else []
    if match is None or dots[:2] != dots[2:] or all(dots):
        raise ValueError(
            f"equation must be as 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...', received {equation!r}"
        )
    return match[2], match[4], match[6], dots[0], dots[1]


class EinsumDense(Projection):
    """Keras's EinsumDense."""

    def __init__(self, spec: Spec) -> None:
        equation, output_shape = spec.require("equation"), spec.require("output_shape")
        bias_axes = spec.get("bias_axes")
        sizes = [output_shape] if type(output_shape) is int else output_shape
        if not isinstance(equation, str) or not isinstance(bias_axes, str | None):
            raise ValueError(f"equation and bias_axes must be strings, received {shown([equation, bias_axes])}")
        if not (isinstance(sizes, list | tuple) and all(n is None or is_size(n) for n in sizes)):
            raise ValueError(f"output_shape must be a size or several, received {shown(output_shape)}")
        of_last_axis = activation(spec.get("activation"), -1, spec.version)
        super().__init__(equation, spec.keras_shape, sizes, bias_axes, of_last_axis)
        self.axes = spec.axes

    def forward(self, x: Tensor) -> Tensor:
        return self.axes.from_keras(super().forward(self.axes.to_keras(x)))
