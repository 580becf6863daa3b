"""Which gradients hold a penalty already: those of a step that raised and is tried again."""

from __future__ import annotations

from weakref import ref

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["HeldGradients"]


class HeldGradients:
    """Notes the gradients to which penalties were added, until the step is over.

    A step that raises has no post-hook. If it is tried again with the same gradients, untouched since, the penalty is
    in them; new or changed ones need it.
    """

    def __init__(self) -> None:
        self._noted: dict[int, tuple[ref[Tensor], int]] = {}

    def note(self, optimizer: Optimizer) -> None:
        """Remember every gradient as it is now, by its parameter's id."""
        if torch.compiler.is_compiling():
            return
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._noted[id(p)] = ref(p.grad), p.grad._version

    def of(self, optimizer: Optimizer) -> set[int]:
        """The ids of the parameters whose gradient is still the noted one."""
        if not self._noted:
            return set()
        noted, self._noted = self._noted, {}
        parameters = (p for group in optimizer.param_groups for p in group["params"] if id(p) in noted)
        return {id(p) for p in parameters if p.grad is not None and _unchanged(p.grad, *noted[id(p)])}

    def clear(self) -> None:
        """The step is over."""
        if self._noted:
            self._noted = {}


def _unchanged(grad: Tensor, noted: ref[Tensor], version: int) -> bool:
    return noted() is grad and grad._version == version
