"""PyTorch's optimizers on stacked parameters; elementwise ones act on a stack as on each member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.app.ground.errors import RunError
from regtorch.app.path.alternative import alternative
from regtorch.steps.optimizers import facts_of, names_of

__all__ = ["Block", "StackOptimizer"]

_BLOCK = 1 << 17  # values; weight, gradient and state of a block stay in a core's cache during its step


@dataclass(frozen=True)
class Block:
    """Some members' rows of a stacked parameter, as a parameter that shares its memory."""

    name: str  # the parameter's
    rows: slice  # its members
    param: nn.Parameter  # what the optimizer sees


class StackOptimizer:
    """An optimizer of a stack; `make` builds PyTorch's from parameters.

    On a CPU it steps blocks of members in turn, so that each stays in the cache.
    """

    def __init__(self, make: Callable[[Sequence[nn.Parameter]], Optimizer], params: Mapping[str, Tensor]) -> None:
        self._make = make
        self._make_blocks(params)
        check_elementwise(self.optimizer)

    def _make_blocks(self, params: Mapping[str, Tensor]) -> None:
        self._params = dict(params)
        self.blocks = [
            Block(name, rows, nn.Parameter(p.detach()[rows])) for name, p in params.items() for rows in _rows_of(p)
        ]
        self.optimizer = self._make([block.param for block in self.blocks])

    def take_grads(self) -> None:
        """Assign the gradients of the last backward pass to the blocks."""
        for block in self.blocks:
            grad = self._params[block.name].grad
            block.param.grad = None if grad is None else grad[block.rows]

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for p in self._params.values():
            p.grad = None

    def step(self) -> None:
        """One step of all members."""
        self.optimizer.step()

    def keep(self, rows: Sequence[int], params: Mapping[str, Tensor]) -> None:
        """Keep some of the members, whose stacked parameters are new tensors."""
        state = {name: self._state_of(name, rows) for name in self._params}
        self._make_blocks(params)
        for block in self.blocks:
            self.optimizer.state[block.param] = {
                key: _rows(value, block, params[block.name]) for key, value in state[block.name].items()
            }

    def _state_of(self, name: str, rows: Sequence[int]) -> dict[str, Any]:
        """The state of all blocks of a parameter, for some members."""
        parts = [(block, self.optimizer.state[block.param]) for block in self.blocks if block.name == name]
        first, state = parts[0]
        return {
            key: torch.cat([part[key] for _, part in parts])[list(rows)]
            if isinstance(value, Tensor) and value.shape == first.param.shape
            else value
            for key, value in state.items()
        }


def check_elementwise(optimizer: Optimizer) -> None:
    """Refuse optimizers that are not known to be elementwise."""
    facts = facts_of(optimizer)
    if not facts.elementwise:
        known = ", ".join(dict.fromkeys(name.lower() for name in names_of(lambda facts: facts.elementwise)))
        name = type(optimizer).__name__
        raise RunError(f"a path cannot use {name}: {facts.why_not}; choose one of {known}, or {alternative()}")


def _rows(value: Any, block: Block, param: Tensor) -> Any:
    """A copy of a block's part of a state: blocks count their steps in place."""
    if not isinstance(value, Tensor):
        return value
    return (value[block.rows] if value.shape == param.shape else value).clone()


def _rows_of(p: Tensor) -> list[slice]:
    if p.device.type != "cpu":
        return [slice(0, len(p))]
    size = max(1, _BLOCK // max(1, p[0].numel()))
    return [slice(first, min(first + size, len(p))) for first in range(0, len(p), size)]
