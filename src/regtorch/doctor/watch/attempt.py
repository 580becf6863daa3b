"""Advice is tried before it is given: the change is made, a few steps are trained, and all is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import isfinite, nan

import torch
from torch import nn

from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.watch.steps import WatchedSteps, watch_steps
from regtorch.doctor.watch.subject import Subject
from regtorch.doctor.watch.uses import look

__all__ = ["STEPS", "Attempt", "attempt", "first_that_learns"]

STEPS = 6
"""With the first batch, again and again: whatever can be learnt at all makes its loss fall."""


@dataclass(frozen=True)
class Attempt:
    """What some steps on the first batch made of a change.

    Attributes:
        before: the loss of that batch before them.
        after: and after them, with the same dropout masks; not a number where a step could not be made.
        watched: the steps; None where none could be made.
    """

    before: float = nan
    after: float = nan
    watched: WatchedSteps | None = None

    @property
    def learns(self) -> bool:
        """Whether the loss has fallen, which one that is constant or not finite does not."""
        return isfinite(self.before) and self.after < self.before

    @property
    def summary(self) -> str:
        """As a part of the advice."""
        if self.learns:
            return f"tried: {STEPS} steps on the first batch take its loss from {self.before:.4g} to {self.after:.4g}"
        return f"tried, but {STEPS} steps on the first batch do not lower its loss: look at the other findings too"


def attempt(
    subject: Subject,
    change: Callable[[nn.Module], AbstractContextManager[object]] = lambda _: nullcontext(),
    *,
    factor: float = 1.0,
    own_rate: bool = False,
) -> Attempt:
    """Train on the first batch for some steps, without the penalties, and put everything back.

    Args:
        subject: what is examined, with another loss, other batches or no optimizer where that is the change.
        change: of the model, as a context; what it does to weights and buffers need not be undone.
        factor: multiplies the learning rate.
        own_rate: whether it is the optimizer's steps that are asked for; otherwise Adam's at a rate of 0.001 count
            too, where those lower the loss and the optimizer's do not.
    """
    one = replace(subject, batches=subject.batches[:1])
    found = _stepped(one, change, factor)
    if not found.learns and not own_rate and subject.optimizer is not None:
        other = _stepped(replace(one, optimizer=None), change, 1.0)
        return other if other.learns else found
    return found


def _stepped(subject: Subject, change: Callable[[nn.Module], AbstractContextManager[object]], factor: float) -> Attempt:
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
    """The first change with which the loss falls, as an advice; None where it does with none."""
    for advice, make in changes:
        found = make()
        if found.learns:
            return f"{advice} ({found.summary})."
    return None
