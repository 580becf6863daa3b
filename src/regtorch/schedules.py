"""Schedules: factors for a strength as a function of the number of previous steps, which starts at 0.

`|` chains them: `warmup(1000) | cosine(9000)` is the first for 1000 steps, then the second from its start. Any other
function of that number works, too: `reg.attach(optimizer, schedule=lambda step: 0.5 ** (step // 1000))`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields

from regtorch.checks import integer, nonnegative

__all__ = ["Schedule", "cosine", "factor_at", "linear", "step", "warmup"]


@dataclass(frozen=True, repr=False)
class Schedule(ABC):
    """A factor for each step; `a | b` is `a` for `a.steps` steps and `b` from then on."""

    @abstractmethod
    def __call__(self, made: int) -> float:
        """The factor of the step after `made` previous steps."""

    @property
    def _length(self) -> int | None:
        """The number of steps until the next schedule; None if it never ends."""
        return getattr(self, "steps", None)

    def __repr__(self) -> str:
        values = (getattr(self, f.name) for f in fields(self))
        return f"{type(self).__name__}({', '.join(f'{value:.10g}' for value in values)})"

    def __or__(self, then: Schedule) -> Schedule:
        if not isinstance(then, Schedule):
            return NotImplemented
        parts = (*_parts(self), *_parts(then))
        for part in parts[:-1]:
            if part._length is None:
                raise ValueError(f"{part!r} never ends, so {parts[-1]!r} would never start; put {part!r} last")
        return _Chain(parts)


@dataclass(frozen=True, repr=False)
class _Chain(Schedule):
    parts: tuple[Schedule, ...]

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))

    def __call__(self, made: int) -> float:
        *before, last = self.parts
        for part in before:
            if made < (length := part._length or 0):
                return part(made)
            made -= length
        return last(made)

    @property
    def steps(self) -> int | None:
        lengths = [part._length for part in self.parts]
        return None if lengths[-1] is None else sum(length or 0 for length in lengths)


@dataclass(frozen=True, repr=False)
class linear(Schedule):
    """Linear from `start` to `end` in `steps` steps, then `end`.

    Args:
        start: the factor of the first step.
        end: the factor after `steps` steps.
        steps: how many, at least 1.

    Raises:
        TypeError: an argument is not a number, or `steps` is not a whole one.
        ValueError: a factor is negative or not finite, or `steps` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [rt.schedules.linear(1.0, 0.0, 4)(step) for step in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check(self, "start", "end")
        _count(self, "steps")

    def __call__(self, made: int) -> float:
        return self.end if made >= self.steps else self.start + (self.end - self.start) * made / self.steps


@dataclass(frozen=True, repr=False)
class warmup(Schedule):
    """Linear from 0 to 1 in `steps` steps, then 1.

    Args:
        steps: how many, at least 1.

    Raises:
        TypeError: `steps` is not a whole number.
        ValueError: `steps` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [rt.schedules.warmup(2)(step) for step in range(4)]
        [0.0, 0.5, 1.0, 1.0]
        >>> rt.schedules.warmup(2) | rt.schedules.step(3, 0.5)
        warmup(2) | step(3, 0.5)
    """

    steps: int

    def __post_init__(self) -> None:
        _count(self, "steps")

    def __call__(self, made: int) -> float:
        return min(1.0, made / self.steps)


@dataclass(frozen=True, repr=False)
class cosine(Schedule):
    """From 1 to `end` along half a cosine in `steps` steps, then `end`.

    Args:
        steps: how many, at least 1.
        end: the factor after them.

    Raises:
        TypeError: an argument is not a number, or `steps` is not a whole one.
        ValueError: `end` is negative or not finite, or `steps` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [round(rt.schedules.cosine(4)(step), 3) for step in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        _count(self, "steps")
        _check(self, "end")

    def __call__(self, made: int) -> float:
        if made >= self.steps:
            return self.end
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * made / self.steps)) / 2


@dataclass(frozen=True, repr=False)
class step(Schedule):
    """1, multiplied by `gamma` after each `every` steps; never ends, so nothing can follow it.

    Args:
        every: the number of steps between changes, at least 1.
        gamma: the multiplier.

    Raises:
        TypeError: an argument is not a number, or `every` is not a whole one.
        ValueError: `gamma` is negative or not finite, or `every` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [rt.schedules.step(2, 0.5)(step) for step in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _count(self, "every")
        _check(self, "gamma")

    def __call__(self, made: int) -> float:
        try:
            return self.gamma ** (made // self.every)
        except OverflowError:
            return math.inf  # factor_at() refuses it


def factor_at(schedule: Callable[[int], float], made: int) -> float:
    """The factor of a schedule after `made` steps, checked to be finite and at least 0."""
    shown = repr(schedule) if isinstance(schedule, Schedule) else getattr(schedule, "__qualname__", repr(schedule))
    owner = f"schedule {shown} after {made} steps"
    return nonnegative(owner, "its factor", schedule(made), "0 switches the rule off")


def _parts(schedule: Schedule) -> tuple[Schedule, ...]:
    return schedule.parts if isinstance(schedule, _Chain) else (schedule,)


def _check(schedule: Schedule, *arguments: str) -> None:
    for argument in arguments:
        value = nonnegative(type(schedule).__name__, argument, getattr(schedule, argument))
        object.__setattr__(schedule, argument, value)


def _count(schedule: Schedule, argument: str) -> None:
    object.__setattr__(schedule, argument, integer(type(schedule).__name__, argument, getattr(schedule, argument)))
