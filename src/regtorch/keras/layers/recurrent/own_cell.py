"""Cells that `custom_objects` make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.checks import shown
from regtorch.keras.quantity import is_size

__all__ = ["OwnCell"]


class OwnCell:
    """A module of the user's, run as a cell.

    `module.state_size` is the number of units of its state, or a list with that of each (a tuple of sizes for a state
    of more dims); they begin at 0. `module(inputs, states)` takes one step (batch, …) and the list of states, and
    returns the output and the states after the step.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        given: Any = getattr(module, "state_size", None)
        sizes: list[Any] = given if isinstance(given, list) else [given]
        self.sizes = [tuple(size) if isinstance(size, list | tuple) else (size,) for size in sizes]
        if not sizes or not all(is_size(n) for size in self.sizes for n in size):
            raise ValueError(
                f"a cell must be one of Keras's, or a module whose state_size is a size or a list of them and whose "
                f"forward(inputs, states) returns an output and the next states; received {type(module).__name__} with "
                f"state_size={shown(given)}"
            )

    @property
    def state_count(self) -> int:
        """The number of state tensors."""
        return len(self.sizes)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights and states."""
        return next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)

    def initial(self, x: Tensor) -> list[Tensor]:
        """Zeros for the states of a sequence."""
        dtype = self.dtype if any(True for _ in self.module.parameters()) else x.dtype
        return [x.new_zeros(x.shape[0], *size, dtype=dtype) for size in self.sizes]

    def output_size(self, shape: Sequence[int], dtype: torch.dtype) -> int:
        """The number of units of its output, for an input (batch, steps, features) on the meta device."""
        x = torch.empty((shape[0], *shape[2:]), dtype=dtype, device="meta")
        with torch.no_grad():
            return self(x, *self.initial(x))[0].shape[-1]

    def run(self, x: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """All steps; a masked one keeps the states and the output of the step before."""
        outputs: list[Tensor] = []
        states = list(states)
        steps = x.shape[1]
        for t in range(1 if x.is_meta else steps):  # one tells the shape
            output, *after = self(x[:, t], *states)
            if mask is not None:
                before = outputs[-1] if outputs else torch.zeros_like(output)
                output, *after = (
                    torch.where(mask[:, t].reshape(-1, *(1,) * (new.ndim - 1)), new, old)
                    for new, old in zip([output, *after], [before, *states], strict=True)
                )
            states = after
            outputs.append(output)
        y = torch.stack(outputs, 1)
        return y.expand(-1, steps, *y.shape[2:]), states

    def __call__(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One step: the output and the new states.

        Raises:
            ValueError: the module returns something else.
        """
        result: Any = self.module(x, list(states))
        output, after = result if isinstance(result, tuple) and len(result) == 2 else (None, None)
        after = [after] if isinstance(after, Tensor) else after
        shapes = [tuple(state.shape) for state in states]
        if (
            not isinstance(output, Tensor)
            or not isinstance(after, list | tuple)
            or [tuple(state.shape) for state in after if isinstance(state, Tensor)] != shapes
        ):
            raise ValueError(
                f"the cell {type(self.module).__name__} must return its output and a list of states of the shapes "
                f"{shapes}, received {shown(result)}"
            )
        return output, *after
