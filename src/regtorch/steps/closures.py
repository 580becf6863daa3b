"""What the closure of an optimizer's step has returned."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = ["left_out", "reads"]


def reads(optimizer: Optimizer, loss: Any) -> bool:
    """Whether its steps depend on the loss, as LBFGS's do and those of unknown classes may."""
    return facts_of(optimizer).reads_loss and isinstance(loss, Tensor | float)


def left_out(loss: Any, optimizer: Optimizer) -> bool:
    """Whether the closure skipped its batch, as Lightning's does if training_step returns None."""
    return loss is None and all(p.grad is None for group in optimizer.param_groups for p in group["params"])
