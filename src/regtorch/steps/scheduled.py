"""A rule whose scale follows a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from regtorch.numerics.capturing import check_not_captured
from regtorch.schedules import factor_at

if TYPE_CHECKING:
    from regtorch.bound.terms import BoundTerms

__all__ = ["Scheduled"]


class Scheduled:
    """A rule whose scale follows a schedule; `steps` counts the steps made."""

    def __init__(self, bound: BoundTerms, schedule: Callable[[int], float]) -> None:
        self._bound, self.schedule, self.steps = bound, schedule, 0
        # Compiled steps must not treat these as constants.
        eagerly: Any = torch.compiler.disable
        self.look: Callable[[], None] = eagerly(self._look)
        self.move: Callable[[], None] = eagerly(self._move)
        self.count: Callable[[Optimizer], None] = eagerly(self._count)
        self._look()
        self._move()

    def _look(self) -> None:
        """Get the factor of the next step; an error here leaves all scales unchanged."""
        check_not_captured("a strength that follows a schedule", "attach the rule without schedule=")
        self._factor = factor_at(self.schedule, self.steps)

    def _move(self) -> None:
        self._bound.scale = self._factor

    def _count(self, optimizer: Optimizer) -> None:
        """Count a step, unless a fused optimizer under a GradScaler has skipped it."""
        self.steps += not getattr(optimizer, "found_inf", None)

    def resume(self, steps: int) -> None:
        self._factor, self.steps = factor_at(self.schedule, steps), steps
        self._move()
