"""Which gradients already include a penalty, because their step raised and is being repeated."""

from __future__ import annotations

from weakref import ref

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["HeldGradients"]


class HeldGradients:
    """Remembers the gradients to which penalties were added, until the step ends.

    A step that raises runs no post-hook. If it is repeated with the same unchanged gradients, they include the penalty.
    """

    def __init__(self) -> None:
        self._noted: dict[int, tuple[ref[Tensor], int]] = {}

    def note(self, optimizer: Optimizer) -> None:
        """Remember the current version of every gradient."""
        if torch.compiler.is_compiling():
            return
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._noted[id(p)] = ref(p.grad), p.grad._version

    def of(self, optimizer: Optimizer) -> set[int]:
        """The ids of the parameters whose gradient is unchanged since `note`."""
        if not self._noted:
            return set()
        noted, self._noted = self._noted, {}
        parameters = (p for group in optimizer.param_groups for p in group["params"] if id(p) in noted)
        return {id(p) for p in parameters if p.grad is not None and _unchanged(p.grad, *noted[id(p)])}

    def clear(self) -> None:
        """Forget all gradients, at the end of a step."""
        if self._noted:
            self._noted = {}


def _unchanged(grad: Tensor, noted: ref[Tensor], version: int) -> bool:
    return noted() is grad and grad._version == version
