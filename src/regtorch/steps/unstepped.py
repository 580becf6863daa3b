"""A warning for rules whose optimizer never steps although the weights change."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.numerics.sharded import is_sharded, own_part
from regtorch.steps.wrappers import owned_by

__all__ = ["Watch", "watch"]

_MOVES = 3  # more than the single move before SAM's first step


class Watch:
    """Compares one weight at every backward before the first step, and warns if it keeps changing.

    Optimizers that step inside backward, and wrappers that move weights themselves, run no step hooks.

    Args:
        parameter: the weight to compare with a copy; best a small one.
        message: the warning.
        stepped: whether a step has run.
        elsewhere: the number of steps of other optimizers with rules, which may own the same weight.
    """

    def __init__(
        self, parameter: nn.Parameter, message: str, stepped: Callable[[], bool], elsewhere: Callable[[], int]
    ) -> None:
        self._message, self._stepped, self._elsewhere = message, stepped, elsewhere
        self._before: tuple[Tensor, int] | None = None
        self._moves = 0
        self._over = False
        self._handle = parameter.register_post_accumulate_grad_hook(self._after_backward)

    @torch.no_grad()
    def _after_backward(self, parameter: Tensor) -> None:
        if self._over:
            return
        if self._stepped():
            self._stop_within(parameter)
            return
        steps = self._elsewhere()
        if self._before is not None and self._before[1] == steps:
            self._moves += not torch.equal(self._before[0], own_part(parameter))
        if self._moves == _MOVES:
            self._stop_within(parameter)
            warnings.warn(self._message, stacklevel=2)
        self._before = own_part(parameter.detach()).clone(), steps

    def _stop_within(self, parameter: Tensor) -> None:
        """Stop within the hook: FSDP2 walks the hooks of a weight itself, and none may go meanwhile."""
        self._over, self._before = True, None
        if not is_sharded(parameter):
            self.stop()

    def stop(self) -> None:
        """Stop watching; idempotent."""
        self._handle.remove()


def watch(
    optimizer: Optimizer, bound: Any, here: Iterable[Any], stepped: Callable[[], bool], elsewhere: Callable[[], int]
) -> Watch | None:
    """Watch the smallest weight of a rule; None if the optimizer owns none.

    Args:
        optimizer: whose steps are waited for.
        bound: the rule, for the warning.
        here: its parts with weights in the optimizer.
        stepped: as of `Watch`.
        elsewhere: as of `Watch`.
    """
    owned = owned_by(optimizer)
    leaves = [p for part in here for _, p in part.leaves() if id(p) in owned and p.numel()]
    if not leaves:
        return None
    message = (
        f"{bound!r} has not acted: its weights change, but the {type(optimizer).__name__} that it is attached to "
        "has not stepped; attach it to the optimizer that takes the steps, or use way 1, loss + reg()"
    )
    smallest: nn.Parameter = min(leaves, key=lambda p: p.numel())
    return Watch(smallest, message, stepped, elsewhere)
