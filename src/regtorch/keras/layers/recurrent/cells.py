"""Recurrent cells: what one step computes, and the steps of a whole sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.activations import activation
from regtorch.keras.layers.recurrent.fast import kernels_work, run_kernel
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable

__all__ = ["Cell", "DenseCell", "SimpleRNNCell", "rate"]

Kernel = Callable[..., tuple[Tensor, ...]]


def rate(spec: Spec, key: str) -> float:
    """A dropout rate.

    Raises:
        ValueError: it is not from 0 to 1, or it is 1, for which Keras's backends differ.
    """
    value = spec.number(key, 0.0, 0.0, 1.0)
    if value == 1:
        raise ValueError(f"{key}=1 is not supported: Keras's backends drop everything or nothing; give a rate below 1")
    return value


class Cell(nn.Module, ABC):
    """A recurrent cell with one variable for all gates: kernel, recurrent_kernel and bias.

    The weights have torch's layout, gates · units first, and Keras's order of gates. The first state is the output.

    Attributes:
        gates: the number of gates.
        state_count: the number of state tensors.
        apart: whether each gate drops inputs of its own.
    """

    gates: int
    state_count = 1
    apart = False
    kernel: nn.Parameter
    recurrent_kernel: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, spec: Spec, version: int, dim: int) -> None:
        super().__init__()
        self.dropout, self.recurrent_dropout = rate(spec, "dropout"), rate(spec, "recurrent_dropout")
        self.activation = activation(spec.get("activation", "tanh"), dim, version)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights and states."""
        return self.kernel.dtype

    @abstractmethod
    def keras_variables(self) -> list[Variable]:
        """The variables in Keras's order."""

    @abstractmethod
    def initial(self, x: Tensor) -> list[Tensor]:
        """Zeros for the states of a sequence."""

    @abstractmethod
    def inputs(self, x: Tensor) -> Tensor:
        """What the inputs (batch, steps, …) add to the gates at each step."""

    @abstractmethod
    def recurrent(self, h: Tensor, kept: Tensor | None) -> Tensor:
        """What the last output adds to all gates; `kept` (gates, …) is what each keeps of it, over its rate."""

    @abstractmethod
    def step(self, z: Tensor, states: Sequence[Tensor], kept: Tensor | None) -> list[Tensor]:
        """The states after one step with `z` from the inputs."""

    def kernels(self) -> list[tuple[str, Tensor]]:
        """The kernels by their names, in Keras's order, however they are held: pruning moves parameters."""
        return [("kernel", self.kernel), ("recurrent_kernel", self.recurrent_kernel)]

    def draw(self, variable: Variable, initializer: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
        """A variable's first value in Keras's layout."""
        return initializer(variable.shape)

    def fast(self) -> tuple[Kernel, list[Tensor]] | None:
        """Torch's kernel with the same arithmetic, and its weights; None if there is none."""
        return None

    def masks(self, x: Tensor, p: float, count: int) -> Tensor | None:
        """Dropout's factors (count, …) for tensors like `x`, one draw for all steps; None outside training."""
        if not (self.training and p):
            return None
        return F.dropout(x.new_ones(count, *x.shape), p)

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """All steps, in one call of the module, so that its hooks run; a masked step keeps the states.

        Returns:
            The output of each step, and the last states.
        """
        return self(x, *states, steps=True, mask=mask)

    def _run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        if x.is_meta:  # shapes alone, at once for any number of steps
            return states[0].unsqueeze(1).expand(-1, x.shape[1], *states[0].shape[1:]), list(states)
        kept = self.masks(states[0], self.recurrent_dropout, self.gates)
        separate = self.training and self.dropout > 0 and self.apart
        kernel = self.fast() if kept is None and not separate and kernels_work(x, mask) else None
        if kernel is not None:
            dropped = self.masks(x[:, 0], self.dropout, 1)
            return run_kernel(*kernel, x if dropped is None else x * dropped[0].unsqueeze(1), states, mask)
        states, outputs = list(states), []
        for t, z in enumerate(self.inputs(x).unbind(1)):
            after = self.step(z, states, kept)
            if mask is not None:
                counts = mask[:, t].reshape(-1, *(1,) * (z.ndim - 1))
                after = [torch.where(counts, new, old) for new, old in zip(after, states, strict=True)]
            states = after
            outputs.append(states[0])
        return torch.stack(outputs, 1), states

    def forward(self, x: Tensor, *states: Tensor, steps: bool = False, mask: Tensor | None = None) -> Any:
        """One step: the output and the new states; with `steps` as `run`."""
        if steps:
            return self._run(x, states, mask)
        _, after = self._run(x.unsqueeze(1), states, None)
        return after[0], *after


class DenseCell(Cell):
    """A cell of matrix products."""

    def __init__(self, spec: Spec) -> None:
        shape = spec.shapes[0]
        if len(shape) not in (2, 3):
            raise ValueError(f"it takes an input (batch, steps, features), received {shape}")
        super().__init__(spec, spec.version, 1)
        units, features = spec.size("units"), shape[-1]
        self.units = units
        self.apart = spec.size("implementation", 2, least=0) == 1 or self.recurrent_dropout > 0
        self.kernel = nn.Parameter(torch.empty(self.gates * units, features))
        self.recurrent_kernel = nn.Parameter(torch.empty(self.gates * units, units))
        biased = self.biased(spec)
        self.bias = nn.Parameter(torch.empty(self.bias_shape(spec))) if biased else None

    def biased(self, spec: Spec) -> bool:
        """Whether it has a bias."""
        return spec.flag("use_bias", True)

    def bias_shape(self, spec: Spec) -> tuple[int, ...]:
        """The bias's shape in Keras."""
        return (self.gates * self.units,)

    def keras_variables(self) -> list[Variable]:
        kernels = [Variable(n, n, (w.shape[1], w.shape[0]), (1, 0)) for n, w in self.kernels()]
        if self.bias is None:
            return kernels
        return [*kernels, Variable("bias", "bias", tuple(self.bias.shape), tuple(range(self.bias.ndim)))]

    def initial(self, x: Tensor) -> list[Tensor]:
        return [x.new_zeros(x.shape[0], self.units, dtype=self.kernel.dtype) for _ in range(self.state_count)]

    def biases(self) -> tuple[Tensor, Tensor | None] | None:
        """The bias of the inputs and that of the last output."""
        return None if self.bias is None else (self.bias, None)

    def inputs(self, x: Tensor) -> Tensor:
        biases = self.biases()
        bias = None if biases is None else biases[0]
        kept = self.masks(x[:, 0], self.dropout, self.gates if self.apart else 1)
        if kept is None:
            return F.linear(x, self.kernel, bias)
        if len(kept) == 1:
            return F.linear(x * kept[0].unsqueeze(1), self.kernel, bias)
        each = self.kernel.unflatten(0, (self.gates, self.units))
        z = torch.stack([F.linear(x * kept[g].unsqueeze(1), each[g]) for g in range(self.gates)], 2).flatten(2)
        return z if bias is None else z + bias

    def recurrent(self, h: Tensor, kept: Tensor | None) -> Tensor:
        biases = self.biases()
        bias = None if biases is None else biases[1]
        if kept is None:
            return F.linear(h, self.recurrent_kernel, bias)
        each = self.recurrent_kernel.unflatten(0, (self.gates, self.units))
        z = torch.bmm(h * kept, each.mT).transpose(0, 1).flatten(1)
        return z if bias is None else z + bias

    def weights(self) -> list[Tensor]:
        """The weights as torch's kernels take them."""
        biases = self.biases()
        if biases is None:
            return [self.kernel, self.recurrent_kernel]
        first, second = biases
        return [self.kernel, self.recurrent_kernel, first, torch.zeros_like(first) if second is None else second]


class SimpleRNNCell(DenseCell):
    """h ← activation(W x + U h + b)."""

    gates = 1

    def step(self, z: Tensor, states: Sequence[Tensor], kept: Tensor | None) -> list[Tensor]:
        return [self.activation(z + self.recurrent(states[0], kept))]

    def fast(self) -> tuple[Kernel, list[Tensor]] | None:
        kernels: dict[type, Any] = {nn.Tanh: torch.rnn_tanh, nn.ReLU: torch.rnn_relu}
        kernel = kernels.get(type(self.activation))
        return None if kernel is None else (kernel, self.weights())
