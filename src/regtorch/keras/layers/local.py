"""Keras 2's locally connected layers: convolutions with a kernel of their own at each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.layers.padding import length
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]


class _LocallyConnected(nn.Module):
    """The kernel has Keras's layout, which depends on `implementation`.

    1: (positions, inputs of one, filters), on patches. 2: (*inputs, *outputs), all pairs of numbers, of which those
    apart do not count, though they are initialized and penalized. 3: one number for each connected pair, sorted by
    output and input.
    """

    n: int

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        n = self.n
        self.channels, self.last = spec.channels(n + 2), spec.axes.channels_last
        self.filters, self.implementation = spec.size("filters"), spec.size("implementation", 1)
        self.kernel_size, self.strides = spec.sizes("kernel_size", n), spec.sizes("strides", n, 1)
        self.same = spec.one_of("padding", {"valid": False, "same": True}, "valid")
        if self.implementation not in (1, 2, 3):
            raise ValueError(f"implementation must be 1, 2 or 3, received {self.implementation}")
        if self.same and self.implementation == 1:
            raise ValueError("padding='same' needs implementation=2 or 3, as in Keras")
        self.inputs = tuple(self._first(torch.empty(spec.shape, device="meta")).shape[2:])
        dims = zip(self.inputs, self.kernel_size, self.strides, strict=True)
        self.outputs = tuple(length(*numbers, 1, same=self.same) for numbers in dims)
        if min(self.outputs) < 1:
            raise ValueError(f"kernel_size={self.kernel_size} is larger than the input, {self.inputs}")
        shape = (self._of_patches, self._of_all, self._of_pairs)[self.implementation - 1]()
        self.kernel = nn.Parameter(torch.empty(shape))
        biased = spec.flag("use_bias", True)
        self.bias = nn.Parameter(torch.empty(*self.outputs, self.filters)) if biased else None
        self.activation = spec.activation(n + 2)

    def keras_variables(self) -> list[Variable]:
        """The kernel and the bias."""
        return held(self, "kernel", "bias")

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, in the layout of the inputs."""
        x = self._first(x)
        y = (self._by_patches, self._by_all, self._by_pairs)[self.implementation - 1](x)
        if self.bias is not None:  # Keras reshapes it where it should move its last dim
            bias = self.bias.movedim(-1, 0) if self.last else self.bias.reshape(self.filters, *self.outputs)
            y = y + bias
        return self.activation(y.mT if self.n == 1 and self.last else y)

    def _first(self, x: Tensor) -> Tensor:
        """The inputs with channels first."""
        return x.mT if self.n == 1 and self.last else x

    def _ordered(self, channels: Any, sizes: Sequence[Any]) -> tuple[Any, ...]:
        """Channels and sizes in Keras's order."""
        return (*sizes, channels) if self.last else (channels, *sizes)

    def _of_patches(self) -> tuple[int, ...]:
        patch = torch.Size(self.kernel_size).numel() * self.channels
        return (torch.Size(self.outputs).numel(), patch, self.filters)

    def _by_patches(self, x: Tensor) -> Tensor:
        for dim, (size, stride) in enumerate(zip(self.kernel_size, self.strides, strict=True), 2):
            x = x.unfold(dim, size, stride)
        inside = range(2 + self.n, 2 + 2 * self.n)
        x = x.permute(0, *range(2, 2 + self.n), *self._ordered(1, inside)).flatten(1 + self.n).flatten(1, self.n)
        return torch.einsum("blk,lkf->bfl", x, self.kernel).unflatten(2, self.outputs)

    def _of_all(self) -> tuple[int, ...]:
        return (*self._ordered(self.channels, self.inputs), *self._ordered(self.filters, self.outputs))

    def _by_all(self, x: Tensor) -> Tensor:
        connected = self._connected(x.device)
        for dim in (0, self.n + 1) if not self.last else (self.n, 2 * self.n + 1):
            connected = connected.unsqueeze(dim)
        kernel = torch.where(connected, self.kernel, 0).flatten(self.n + 1).flatten(0, self.n)
        return self._shaped(self._numbers(x) @ kernel)

    def _of_pairs(self) -> tuple[int, ...]:
        n, channels, filters = self.n, self.channels, self.filters
        connected = self._connected(torch.device("cpu")).flatten(0, n - 1).flatten(1)
        by, to = connected.nonzero().unbind(1)
        c, f = torch.arange(channels, device="cpu").view(1, -1, 1), torch.arange(filters, device="cpu").view(-1, 1, 1)
        by = by * channels + c if self.last else c * len(connected) + by
        to = to * filters + f if self.last else f * connected.shape[1] + to
        to, by = (index.flatten() for index in torch.broadcast_tensors(to, by))
        order = (to * len(connected) * channels + by).argsort()
        self.pairs = to[order], by[order]
        return (len(order),)

    def _by_pairs(self, x: Tensor) -> Tensor:
        to, by = (index.to(x.device) for index in self.pairs)
        size = self.filters * torch.Size(self.outputs).numel()
        numbers = self._numbers(x)
        return self._shaped(numbers.new_zeros(x.shape[0], size).index_add(1, to, numbers[:, by] * self.kernel))

    def _numbers(self, x: Tensor) -> Tensor:
        """An image's numbers in Keras's order."""
        return (x.movedim(1, -1) if self.last else x).flatten(1)

    def _shaped(self, y: Tensor) -> Tensor:
        """Numbers in Keras's order as an image, channels first."""
        y = y.unflatten(1, self._ordered(self.filters, self.outputs))
        return y.movedim(-1, 1) if self.last else y

    def _connected(self, device: torch.device) -> Tensor:
        """Which input positions each output position takes, (*inputs, *outputs)."""
        n = self.n
        found = torch.ones((1,) * 2 * n, dtype=torch.bool, device=device)
        for dim in range(n):
            before = self.kernel_size[dim] // 2 if self.same else 0
            at = torch.arange(self.inputs[dim], device=device)[:, None]
            first = torch.arange(self.outputs[dim], device=device) * self.strides[dim] - before
            inside = (at >= first) & (at < first + self.kernel_size[dim])
            shape = [1] * 2 * n
            shape[dim], shape[n + dim] = inside.shape
            found = found & inside.view(shape)
        return found


class LocallyConnected1D(_LocallyConnected):
    """Keras 2's LocallyConnected1D, on (batch, steps, channels)."""

    n = 1


class LocallyConnected2D(_LocallyConnected):
    """Keras 2's LocallyConnected2D."""

    n = 2
