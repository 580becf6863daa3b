"""The hooks on one optimizer: before its step, between the step and projections, after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.doctor.along.numbers import is_number
from regtorch.steps.frames import Outermost

__all__ = ["Steps", "Tap"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Steps(Protocol):
    """What hears of the steps. The last three are called for steps that are looked at."""

    def began(self) -> bool:
        """Before every step: whether to look at it."""
        ...

    def ended(self) -> None:
        """After every step."""

    def read_before(self) -> None:
        """Before the step and its closure."""

    def read_gradients(self, loss: Tensor | float | None) -> None:
        """While `grad` holds the task's gradient alone; `loss` is what a closure returned."""

    def read_stepped(self) -> None:
        """After the optimizer's own step, before constraints project."""


class Tap:
    """Tells of an optimizer's steps.

    Its hooks come first before a step and last after it, whenever rules are attached: so the gradients that it sees
    are the task's, and the weights after the step are those that training goes on with.
    """

    def __init__(self, optimizer: Optimizer, steps: Steps) -> None:
        self._optimizer = optimizer
        self._steps = steps
        self._looking = False
        self._outermost = Outermost()
        before = optimizer.register_step_pre_hook(self._before)
        optimizer._optimizer_step_pre_hooks.move_to_end(before.id, last=False)  # pyright: ignore[reportAttributeAccessIssue]
        stepped = optimizer.register_step_post_hook(self._stepped)
        optimizer._optimizer_step_post_hooks.move_to_end(stepped.id, last=False)  # pyright: ignore[reportAttributeAccessIssue]
        self._after_id = (after := optimizer.register_step_post_hook(self._after)).id
        self._handles = [before, stepped, after]

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        if torch.compiler.is_compiling() or not self._outermost.begin():
            return None
        self._looking = self._steps.began()
        if not self._looking:
            return None
        hooks: Any = self._optimizer._optimizer_step_post_hooks
        if self._after_id in hooks:
            hooks.move_to_end(self._after_id)  # behind rules attached since
        self._steps.read_before()
        closure = kwargs.get("closure", args[1] if len(args) > 1 and callable(args[1]) else None)
        if closure is None:
            self._steps.read_gradients(None)
            return None
        closure = self._read_once(closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": closure}
        return (args[0], closure, *args[2:]), kwargs  # pyright: ignore[reportGeneralTypeIssues]

    def _read_once(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure, whose first call is followed by the reading of gradients: each call computes new ones."""
        first = [True]

        def read() -> Any:
            loss = closure()
            if first:
                first.clear()
                known = loss.detach() if isinstance(loss, Tensor) else loss
                self._steps.read_gradients(known if is_number(known) else None)
            return loss

        return read

    def _stepped(self, *_: Any) -> None:
        if self._looking and not torch.compiler.is_compiling():
            self._steps.read_stepped()

    def _after(self, *_: Any) -> None:
        if torch.compiler.is_compiling() or not self._outermost.end():
            return
        self._looking = False
        self._steps.ended()
