"""Convolutional LSTM layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.activations import activation
from regtorch.keras.layers.padding import length, pad_same
from regtorch.keras.layers.recurrent.cells import Cell
from regtorch.keras.layers.recurrent.layer import Recurrent
from regtorch.keras.layers.recurrent.lstm import draw_bias, lstm_step
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable

__all__ = ["ConvLSTM"]

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvLSTMCell(Cell):
    """An LSTM cell with convolutions in place of matrix products, on (batch, channels, …)."""

    gates = 4
    state_count = 2
    apart = True

    def __init__(self, spec: Spec, n: int, channels: int) -> None:
        dim = 1 if spec.axes.channels_last else -1
        super().__init__(spec, spec.version, dim)
        self.recurrent_activation = activation(spec.get("recurrent_activation", "sigmoid"), dim, spec.version)
        self.n, self.filters, self.size = n, spec.size("filters"), spec.sizes("kernel_size", n)
        self.stride, self.dilation = spec.sizes("strides", n, 1), spec.sizes("dilation_rate", n, 1)
        self.same = spec.one_of("padding", {"valid": False, "same": True}, "valid")
        self.unit_forget_bias = spec.flag("unit_forget_bias", True)
        self.kernel = nn.Parameter(torch.empty(4 * self.filters, channels, *self.size))
        self.recurrent_kernel = nn.Parameter(torch.empty(4 * self.filters, self.filters, *self.size))
        self.bias = nn.Parameter(torch.empty(4 * self.filters)) if spec.flag("use_bias", True) else None

    def keras_variables(self) -> list[Variable]:
        n = self.n
        found = [Variable(k, k, (*self.size, w.shape[1], w.shape[0]), (n + 1, n, *range(n))) for k, w in self.kernels()]
        return found if self.bias is None else [*found, Variable("bias", "bias", tuple(self.bias.shape), (0,))]

    def draw(self, variable: Variable, initializer: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        if variable.name != "bias" or not self.unit_forget_bias:
            return initializer(variable.shape)
        return draw_bias(initializer, self.filters, self.filters)

    def initial(self, x: Tensor) -> list[Tensor]:
        dims = zip(x.shape[3:], self.size, self.stride, self.dilation, strict=True)
        sizes = [length(*numbers, same=self.same) for numbers in dims]
        return [x.new_zeros(x.shape[0], self.filters, *sizes, dtype=self.kernel.dtype) for _ in range(2)]

    def inputs(self, x: Tensor) -> Tensor:
        batch, steps = x.shape[:2]
        kept = self.masks(x[:, 0], self.dropout, self.gates)
        if kept is not None:  # each gate's own inputs, side by side
            x = (x.unsqueeze(2) * kept.transpose(0, 1).unsqueeze(1)).flatten(2, 3)
        z = self._convolved(x.flatten(0, 1), self.kernel, self.bias, 1 if kept is None else self.gates)
        return z.unflatten(0, (batch, steps))

    def recurrent(self, h: Tensor, kept: Tensor | None) -> Tensor:
        ones = (1,) * self.n
        groups = 1
        if kept is not None:
            h, groups = (h * kept).transpose(0, 1).flatten(1, 2), self.gates
        h, padding = pad_same(h, self.size, ones, ones)
        return _CONV[self.n](h, self.recurrent_kernel, None, 1, padding, 1, groups)

    def step(self, z: Tensor, states: Sequence[Tensor], kept: Tensor | None) -> list[Tensor]:
        return lstm_step(self, z + self.recurrent(states[0], kept), states[1])

    def _convolved(self, x: Tensor, kernel: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        padding: Any = 0
        if self.same:
            x, padding = pad_same(x, self.size, self.stride, self.dilation)
        return _CONV[self.n](x, kernel, bias, self.stride, padding, self.dilation, groups)


class ConvLSTM(Recurrent):
    """Keras's ConvLSTM1D, 2D and 3D."""

    def __init__(self, spec: Spec, n: int) -> None:
        spec.data_format()
        shape = spec.shapes[0]
        if len(shape) != n + 3:
            raise ValueError(f"it takes an input of {n + 3} dims, batch included, received {shape}")
        self.channels_last, self.n = spec.axes.channels_last, n
        super().__init__(spec, ConvLSTMCell(spec, n, shape[1 if self.channels_last else 2]))

    def _steps(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2) if self.channels_last else x

    def _shown(self, y: Tensor) -> Tensor:
        return y.transpose(1, 2) if self.channels_last else y

    def _state(self, state: Tensor) -> Tensor:
        return state.mT if self.channels_last and self.n == 1 else state
