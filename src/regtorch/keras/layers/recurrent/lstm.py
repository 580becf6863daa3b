"""LSTM cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.activations import activation
from regtorch.keras.layers.recurrent.cells import DenseCell, Kernel
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable

__all__ = ["CuDNNLSTMCell", "LSTMCell", "draw_bias", "lstm_step"]


def lstm_step(cell: Any, z: Tensor, c: Tensor) -> list[Tensor]:
    """The states h = o activation(c) and c = f c + i activation(g), with the gates i, f, g, o from `z` in dim 1."""
    i, f, g, o = z.chunk(4, 1)
    c = cell.recurrent_activation(f) * c + cell.recurrent_activation(i) * cell.activation(g)
    return [cell.recurrent_activation(o) * cell.activation(c), c]


def draw_bias(initializer: Callable[[tuple[int, ...]], Tensor], before: int, units: int) -> Tensor:
    """Keras's `unit_forget_bias`: `before` numbers, then ones for the forget gate, then those of the other gates."""
    parts = initializer((before,)), torch.ones(units, dtype=torch.float64), initializer((2 * units,))
    return torch.cat([part.double() for part in parts])


class LSTMCell(DenseCell):
    """Keras's LSTM cell, with its gates i, f, c, o, which is torch's order."""

    gates = 4
    state_count = 2

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.recurrent_activation = activation(spec.get("recurrent_activation", "sigmoid"), 1, spec.version)
        self.unit_forget_bias = spec.flag("unit_forget_bias", True)

    def draw(self, variable: Variable, initializer: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        if variable.name != "bias" or not self.unit_forget_bias:
            return initializer(variable.shape)
        return draw_bias(initializer, variable.shape[0] - 3 * self.units, self.units)

    def step(self, z: Tensor, states: Sequence[Tensor], kept: Tensor | None) -> list[Tensor]:
        return lstm_step(self, z + self.recurrent(states[0], kept), states[1])

    def fast(self) -> tuple[Kernel, list[Tensor]] | None:
        same = type(self.activation) is nn.Tanh and type(self.recurrent_activation) is nn.Sigmoid
        return (torch.lstm, self.weights()) if same else None


class CuDNNLSTMCell(LSTMCell):
    """Keras 2's CuDNNLSTM: an LSTM with a second bias, for the last output."""

    def biased(self, spec: Spec) -> bool:
        return True

    def bias_shape(self, spec: Spec) -> tuple[int, ...]:
        return (8 * self.units,)

    def biases(self) -> tuple[Tensor, Tensor | None] | None:
        assert self.bias is not None
        first, second = self.bias.chunk(2)
        return first, second
