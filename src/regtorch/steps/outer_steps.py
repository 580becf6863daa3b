"""Constraints inside wrappers that move the weights after the optimizer's own step: Look-ahead, schedule-free."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from regtorch.steps.wrappers import runs_hooks

if TYPE_CHECKING:
    from regtorch.bound.penalty import BoundConstraint

__all__ = ["OuterSteps"]

_LOOKS = 20  # steps within which a wrapper shows whether it moves weights; Look-ahead does so every few steps


class OuterSteps:
    """Projects again after the steps of wrappers that run hooks, and warns where weights are moved without one.

    Some wrappers run no hooks, others do in a step that is not called (SAM's is in two parts).

    Args:
        bound: the constraint.
        wrappers: what wraps the optimizer that it is attached to, the outermost first.
        project: brings the weights that the optimizer owns into the set.
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
        """Compare how far weights lie outside with what the last step left."""
        if not self._looks or self._left is None:
            return
        self._looks -= 1
        left, changes = self._left
        now = self._bound.violation().item()
        if len(self._bound.changes) == changes and now > left + 1e-6 * (1 + left):
            self._looks = 0
            warnings.warn(
                f"{self._bound!r}: weights lie {now:.3g} outside: the {self._names} moved them after the "
                "constraint had acted; call the constraint's project_() after each of that wrapper's steps",
                stacklevel=5,
            )

    def after_step(self) -> None:
        """Note how far weights lie outside."""
        if self._looks:
            self._left = self._bound.violation().item(), len(self._bound.changes)

    def remove(self) -> None:
        """Take the hooks off the wrappers."""
        for handle in self._handles:
            handle.remove()
