"""Try advice before giving it: apply the change, train a few steps, restore everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import isfinite, nan

import torch
from torch import nn

from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.observe.steps import WatchedSteps, watch_steps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.observe.uses import Use, look

__all__ = ["STEPS", "Attempt", "Context", "attempt", "first_that_learns"]

Context = Callable[[nn.Module], AbstractContextManager[object]]
STEPS = 6
"""All on the first batch: whatever can be learnt at all makes its loss fall."""


@dataclass(frozen=True)
class Attempt:
    """The result of training a few steps on the first batch with a change."""

    before: float = nan  # the loss of that batch
    after: float = nan  # the same after the steps, with the same dropout masks; NaN if a step failed
    watched: WatchedSteps | None = None  # None if no step was possible

    @property
    def learns(self) -> bool:
        return isfinite(self.before) and self.after < self.before

    @property
    def summary(self) -> str:
        if self.learns:
            return f"tried: {STEPS} steps on the first batch take its loss from {self.before:.4g} to {self.after:.4g}"
        return f"tried, but {STEPS} steps on the first batch do not lower its loss; see the other findings too"

    def use_of(self, layer: str, kind: str) -> Use | None:
        """The use of an activation after the last step."""
        looks = self.watched.looks if self.watched is not None else ()
        return looks[-1].uses.get((layer, kind)) if looks else None


def attempt(
    subject: Subject,
    change: Context = lambda _: nullcontext(),
    *,
    factor: float = 1.0,
    own_rate: bool = False,
) -> Attempt:
    """Train a few steps on the first batch, without penalties, and restore everything.

    Args:
        subject: the setup, with another loss, other batches or no optimizer if that is the change.
        change: a context that changes the model; it need not undo changes of weights and buffers.
        factor: multiplies the learning rate.
        own_rate: count the optimizer's steps alone; otherwise also accept Adam's at a rate of 0.001, if those lower
            the loss and the optimizer's do not.
    """
    first = replace(subject, batches=subject.batches[:1])
    found = _stepped(first, change, factor)
    if not found.learns and not own_rate and subject.optimizer is not None:
        with_adam = _stepped(replace(first, optimizer=None), change, 1.0)
        return with_adam if with_adam.learns else found
    return found


def _stepped(subject: Subject, change: Context, factor: float) -> Attempt:
    try:
        with subject.restored():
            with torch.no_grad():
                context = change(subject.model)
            with context:
                watched = watch_steps(subject, STEPS, penalties=0.0, factor=factor, look=look)
    except (Unfit, Refused):
        return Attempt()
    before, after = (watched.looks[i].loss if watched.looks else nan for i in (0, -1))
    return Attempt(before, nan if watched.diverged else after, watched)


def first_that_learns(changes: Iterable[tuple[str, Callable[[], Attempt]]]) -> str | None:
    """The first change that lowers the loss, as advice."""
    for advice, make in changes:
        found = make()
        if found.learns:
            return f"{advice} ({found.summary})."
    return None
