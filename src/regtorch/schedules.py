"""Factors for a strength that moves: functions of the number of steps made before, which is 0 at the first.

They follow each other by `|`: `warmup(1000) | cosine(9000)` is the first for its steps, then the second from its own
beginning. Any other function of that number will do as well, alone:
`reg.attach(optimizer, schedule=lambda step: 0.5 ** (step // 1000))`.
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
    """A factor for each step; `a | b` is `a` for `a.steps` steps, and `b` from then on."""

    @abstractmethod
    def __call__(self, made: int) -> float:
        """The factor of the step before which so many were made."""

    @property
    def _length(self) -> int | None:
        """After how many steps another may follow; None where it never ends."""
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
                raise ValueError(f"{part!r} has no end, so that {parts[-1]!r} would never begin; put it last")
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
        """Of all parts."""
        lengths = [part._length for part in self.parts]
        return None if lengths[-1] is None else sum(length or 0 for length in lengths)


@dataclass(frozen=True, repr=False)
class linear(Schedule):
    """From `start` to `end` on a line in `steps` steps, then `end`.

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
    """From 0 to 1 on a line in `steps` steps, then 1.

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
    """1, and `gamma` times that after each `every` steps; it has no end, so that nothing can follow it.

    Args:
        every: after how many steps, at least 1.
        gamma: what is multiplied by.

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
            return math.inf  # which is refused where it is used


def factor_at(schedule: Callable[[int], float], made: int) -> float:
    """What a schedule gives for a step, checked.

    Args:
        schedule: a function of the number of steps made before.
        made: that number.

    Raises:
        TypeError: it gives no number.
        ValueError: a negative, infinite or NaN one.
    """
    return nonnegative(
        f"schedule {_shown(schedule)} after {made} steps", "its factor", schedule(made), "0 switches the rule off"
    )


def _shown(schedule: object) -> str:
    return repr(schedule) if isinstance(schedule, Schedule) else getattr(schedule, "__qualname__", repr(schedule))


def _parts(schedule: Schedule) -> tuple[Schedule, ...]:
    return schedule.parts if isinstance(schedule, _Chain) else (schedule,)


def _check(schedule: Schedule, *arguments: str) -> None:
    for argument in arguments:
        value = nonnegative(type(schedule).__name__, argument, getattr(schedule, argument))
        object.__setattr__(schedule, argument, value)


def _count(schedule: Schedule, argument: str) -> None:
    object.__setattr__(schedule, argument, integer(type(schedule).__name__, argument, getattr(schedule, argument)))
