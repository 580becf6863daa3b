"""Factors for a strength that moves: functions of the number of steps made before, which is 0 at the first.

Any other function of that number will do: `reg.attach(optimizer, schedule=lambda step: 0.5 ** (step // 1000))`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from regtorch.rule import nonnegative

__all__ = ["cosine", "linear", "step", "warmup"]

Schedule = Callable[[int], float]


def linear(start: float, end: float, steps: int) -> Schedule:
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
    start, end = (nonnegative("linear", name, value) for name, value in (("start", start), ("end", end)))
    return partial(_linear, start, end, _count("linear", "steps", steps))


def warmup(steps: int) -> Schedule:
    """From 0 to 1 on a line in `steps` steps, then 1.

    Raises:
        TypeError: `steps` is not a whole number.
        ValueError: `steps` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [rt.schedules.warmup(2)(step) for step in range(4)]
        [0.0, 0.5, 1.0, 1.0]
    """
    return partial(_linear, 0.0, 1.0, _count("warmup", "steps", steps))


def cosine(steps: int, end: float = 0.0) -> Schedule:
    """From 1 to `end` along half a cosine in `steps` steps, then `end`.

    Raises:
        TypeError: an argument is not a number, or `steps` is not a whole one.
        ValueError: `end` is negative or not finite, or `steps` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [round(rt.schedules.cosine(4)(step), 3) for step in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    return partial(_cosine, _count("cosine", "steps", steps), nonnegative("cosine", "end", end))


def step(every: int, gamma: float = 0.1) -> Schedule:
    """1, and `gamma` times that after each `every` steps.

    Raises:
        TypeError: an argument is not a number, or `every` is not a whole one.
        ValueError: `gamma` is negative or not finite, or `every` is below 1.

    Example:
        >>> import regtorch as rt
        >>> [rt.schedules.step(2, 0.5)(step) for step in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return partial(_step, _count("step", "every", every), nonnegative("step", "gamma", gamma))


def _linear(start: float, end: float, steps: int, made: int) -> float:
    return end if made >= steps else start + (end - start) * made / steps


def _cosine(steps: int, end: float, made: int) -> float:
    return end if made >= steps else end + (1 - end) * (1 + math.cos(math.pi * made / steps)) / 2


def _step(every: int, gamma: float, made: int) -> float:
    return gamma ** (made // every)


def _count(owner: str, argument: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {argument} must be a whole number of at least 1, received {value!r}")
    if value < 1:
        raise ValueError(f"{owner}: {argument} must be a whole number of at least 1, received {value!r}")
    return value
