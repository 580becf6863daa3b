"""GRU cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.activations import activation
from regtorch.keras.layers.recurrent.cells import DenseCell, Kernel
from regtorch.keras.spec import Spec

__all__ = ["CuDNNGRUCell", "GRUCell"]


class GRUCell(DenseCell):
    """Keras's GRU cell: h ← z h + (1 - z) ĥ, with its gates z, r, h, where torch's are r, z, n.

    With `reset_after` ĥ = activation(W x + b + r (U h + b')), else activation(W x + b + U (r h)).
    """

    gates = 3

    def __init__(self, spec: Spec) -> None:
        self.reset_after = self.resets_after(spec)
        super().__init__(spec)
        self.recurrent_activation = activation(spec.get("recurrent_activation", "sigmoid"), 1, spec.version)

    def resets_after(self, spec: Spec) -> bool:
        """Whether the reset gate acts after the product with the recurrent kernel."""
        return spec.flag("reset_after", True)

    def bias_shape(self, spec: Spec) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def biases(self) -> tuple[Tensor, Tensor | None] | None:
        if self.bias is None or not self.reset_after:
            return super().biases()
        first, second = self.bias.reshape(2, -1)
        return first, second

    def step(self, z: Tensor, states: Sequence[Tensor], kept: Tensor | None) -> list[Tensor]:
        h, units = states[0], self.units
        if self.reset_after:
            return [self._mixed(z, self.recurrent(h, kept), h)]
        first, last = self.recurrent_kernel.split((2 * units, units))
        if kept is None:
            gates = F.linear(h, first)
        else:
            gates = torch.cat([F.linear(h * kept[g], w) for g, w in enumerate(first.chunk(2))], 1)
        update, reset = map(self.recurrent_activation, (z[:, : 2 * units] + gates).chunk(2, 1))
        again = F.linear(reset * (h if kept is None else h * kept[2]), last)
        return [self._blend(update, h, z[:, 2 * units :] + again)]

    def _mixed(self, z: Tensor, recurrent: Tensor, h: Tensor) -> Tensor:
        x_gates, x_new = z.split((2 * self.units, self.units), 1)
        h_gates, h_new = recurrent.split((2 * self.units, self.units), 1)
        update, reset = map(self.recurrent_activation, (x_gates + h_gates).chunk(2, 1))
        return self._blend(update, h, x_new + reset * h_new)

    def _blend(self, update: Tensor, h: Tensor, new: Tensor) -> Tensor:
        return update * h + (1 - update) * self.activation(new)

    def fast(self) -> tuple[Kernel, list[Tensor]] | None:
        same = type(self.activation) is nn.Tanh and type(self.recurrent_activation) is nn.Sigmoid
        if not (same and self.reset_after):
            return None
        return torch.gru, [self._in_torchs_order(w) for w in self.weights()]

    def _in_torchs_order(self, w: Tensor) -> Tensor:
        update, reset, new = w.chunk(3)
        return torch.cat([reset, update, new])


class CuDNNGRUCell(GRUCell):
    """Keras 2's CuDNNGRU: a GRU that resets after, with its two biases in one vector."""

    def resets_after(self, spec: Spec) -> bool:
        return True

    def biased(self, spec: Spec) -> bool:
        return True

    def bias_shape(self, spec: Spec) -> tuple[int, ...]:
        return (6 * self.units,)
