"""Constraints inside wrappers that move the weights after the optimizer's step: Look-ahead, schedule-free."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from regtorch.steps.wrappers import runs_hooks

if TYPE_CHECKING:
    from regtorch.bound.constraint import BoundConstraint

__all__ = ["OuterSteps"]

_LOOKS = 20  # steps to watch for; Look-ahead moves the weights every few steps


class OuterSteps:
    """Projects again after the steps of wrappers with hooks, and warns if other wrappers move weights out of the set.

    Some wrappers run no hooks, or only in a `step` that is never called (SAM steps in two parts).

    Args:
        bound: the constraint.
        wrappers: the wrappers around its optimizer, outermost first.
        project: projects the weights that the optimizer owns.
    """

    def __init__(self, bound: BoundConstraint, wrappers: Sequence[Any], project: Callable[[], None]) -> None:
        self._bound = bound
        self._names = " or ".join(type(outer).__name__ for outer in wrappers)
        self._handles: list[RemovableHandle] = [
            outer.register_step_post_hook(lambda optimizer, args, kwargs: project())
            for outer in wrappers
            if isinstance(outer, Optimizer) and runs_hooks(outer)
        ]
        self._looks = _LOOKS
        self._left: tuple[float, int] | None = None

    def before_step(self) -> None:
        """Warn if the violation has grown since the last step."""
        if not self._looks or self._left is None:
            return
        self._looks -= 1
        left, changes = self._left
        now = self._bound.violation().item()
        if len(self._bound.changes) == changes and now > left + 1e-6 * (1 + left):
            self._looks = 0
            warnings.warn(
                f"{self._bound!r}: weights are {now:.3g} outside the set: the {self._names} moved them after the "
                "projection; call the constraint's project_() after each step of that wrapper",
                stacklevel=5,
            )

    def after_step(self) -> None:
        """Remember the violation."""
        if self._looks:
            self._left = self._bound.violation().item(), len(self._bound.changes)

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
