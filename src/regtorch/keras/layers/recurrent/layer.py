"""Recurrent layers: a cell, or a stack of them, over the steps of sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.layers.recurrent.cells import Cell
from regtorch.keras.layers.recurrent.own_cell import OwnCell
from regtorch.keras.layers.recurrent.stack import StackedRNNCells, cell_of
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = ["RNN", "Recurrent", "flat_states"]


class Recurrent(nn.Module):
    """A recurrent layer.

    A masked step keeps the states. Its output is that of the step before, which before the first step is 0 (as with
    TensorFlow and torch under Keras; with JAX it is the first state); with `zero_output_for_mask` it is 0.

    Attributes:
        cell: a cell or a stack of cells.
        batch: the batch size that a stateful layer was built for.
    """

    takes_masks = True
    keras_order = True
    keras_parts: Mapping[str, str] = {"cell": "cell"}

    def __init__(self, spec: Spec, cell: nn.Module) -> None:
        super().__init__()
        self.axes = spec.axes
        self.cell = cell
        self.return_sequences, self.return_state = spec.flag("return_sequences"), spec.flag("return_state")
        self.go_backwards, self.stateful = spec.flag("go_backwards"), spec.flag("stateful")
        self.zero_output_for_mask = spec.flag("zero_output_for_mask")
        self.time_major = spec.flag("time_major")
        spec.flag("unroll")  # no effect on what is computed
        if self.stateful:
            self._keep_states(spec)

    def _keep_states(self, spec: Spec) -> None:
        if spec.batch is None:
            raise ValueError("stateful=True needs a batch size: give the net's input its whole batch_shape")
        self.batch = spec.batch
        steps = self._steps(torch.empty((spec.batch, *spec.shapes[0][1:]), device="meta"))
        for i, state in enumerate(state for cell in self.cells for state in cell.initial(steps)):
            self.register_buffer(f"state_{i}", torch.zeros(state.shape), persistent=False)

    @property
    def cells(self) -> list[Cell | OwnCell]:
        """The cells, first to last."""
        return self.cell.cells if isinstance(self.cell, StackedRNNCells) else [cell_of(self.cell)]

    @property
    def states(self) -> list[Tensor]:
        """The states that a stateful layer keeps, none for any other."""
        return [state for name, state in self.named_buffers(recurse=False) if name.startswith("state_")]

    def reset_state(self) -> None:
        """Set the states that a stateful layer keeps to 0."""
        for state in self.states:
            state.zero_()

    def _steps(self, x: Tensor) -> Tensor:
        """The input as (batch, steps, …), in the order of its cell."""
        return x.transpose(0, 1) if self.time_major else x

    def _shown(self, y: Tensor) -> Tensor:
        """An output (batch, steps, …) in the net's order."""
        return y.transpose(0, 1) if self.time_major else y

    def _state(self, state: Tensor) -> Tensor:
        """A state in the net's order from the cell's, and back."""
        return state

    def forward(self, x: Tensor, *given: Tensor, initial_state: Any = None, masks: Masks = ()) -> Any:
        """The output, and with `return_state` the states of each cell.

        Raises:
            ValueError: the states or the batch size do not fit.
        """
        x = self._steps(x)
        x = x if x.is_floating_point() else x.to(self.cells[0].dtype)
        mask = masks[0] if masks else None
        if mask is not None:
            if mask.ndim < 2:  # of a TimeDistributed, whose mask (batch, steps) tells nothing of this layer's steps
                raise ValueError(f"its mask must have the shape (batch, steps), received {tuple(mask.shape)}")
            mask = mask.flatten(2).any(-1) if mask.ndim > 2 else mask.bool()  # of steps that have steps of their own
            mask = mask.mT if self.time_major else mask
        states = self._first(x, [*given, *flat_states(initial_state)])
        if self.go_backwards:
            x, mask = x.flip(1), None if mask is None else mask.flip(1)
        y, after = self._run(x, states, mask)
        if mask is not None:
            counts = mask if self.zero_output_for_mask else mask.cumsum(1) > 0
            y = torch.where(counts.reshape(*counts.shape, *(1,) * (y.ndim - 2)), y, 0)
        for kept, state in zip(self.states, after, strict=False):
            kept.copy_(state.detach())
        output = self._shown(y) if self.return_sequences else self._state(y[:, -1])
        return (output, *map(self._state, after)) if self.return_state else output

    def _first(self, x: Tensor, given: list[Tensor]) -> list[Tensor]:
        """The states before the first step."""
        if self.stateful and len(x) != self.batch:
            raise ValueError(
                f"a stateful layer takes the batch size that it was built for, {self.batch}, received {len(x)}"
            )
        zeros = [state for cell in self.cells for state in cell.initial(x)]
        if not given:
            return [state.clone() for state in self.states] if self.stateful else zeros
        shapes = [[tuple(state.shape) for state in states] for states in (given, map(self._state, zeros))]
        if shapes[0] != shapes[1]:
            raise ValueError(f"its initial states must have the shapes {shapes[1]}, received {shapes[0]}")
        return [self._state(state).to(zero) for state, zero in zip(given, zeros, strict=True)]

    def _run(self, x: Tensor, states: list[Tensor], mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Run one cell after the other over all steps: none looks ahead."""
        after: list[Tensor] = []
        for cell in self.cells:
            count = len(after)
            x, new = cell.run(x, states[count : count + cell.state_count], mask)
            after += new
        return x, after

    def output_masks(self, masks: Masks, *inputs: Tensor) -> list[Tensor | None]:
        """The output has the input's mask if it is a sequence; the states have none."""
        states = sum(cell.state_count for cell in self.cells) if self.return_state else 0
        return [masks[0] if masks and self.return_sequences else None, *[None] * states]


class RNN(Recurrent):
    """Keras's RNN, a layer of any cell."""

    def __init__(self, spec: Spec) -> None:
        spec.get("cell")
        cell = spec.inner("cell", "cell", spec.shapes[0])
        if not isinstance(cell, StackedRNNCells):
            cell_of(cell)  # refuses what is none
        super().__init__(spec, cell)


def flat_states(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested lists of states."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Sequence):
        for part in tree:
            yield from flat_states(part)
    elif tree is not None:
        raise ValueError(f"initial states must be tensors, received {type(tree).__name__}")
