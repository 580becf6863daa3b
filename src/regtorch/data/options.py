"""Checks of the data modules' options; a wrong one is named with what was expected and received."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeGuard

__all__ = ["integer", "nonnegative", "positive", "share", "sizes"]


def integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """Check a whole number.

    Args:
        name: The option, for the message.
        value: What was received.
        low: The least value.
        high: The greatest; None where there is none.
    """
    if not _whole(value, low) or (high is not None and value > high):
        span = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: expected an integer {span}, received {value!r}")
    return int(value)


def sizes(name: str, value: object, axes: str) -> tuple[int, ...]:
    """Check a shape.

    Args:
        name: The option, for the message.
        value: What was received.
        axes: The axes' names, parted by commas.
    """
    given = tuple(value) if isinstance(value, Sequence) else ()
    whole = tuple(int(size) for size in given if _whole(size, 1))
    if not len(whole) == len(given) == len(axes.split(",")):
        raise ValueError(f"{name}: expected ({axes}), integers of at least 1, received {value!r}")
    return whole


def positive(name: str, value: object) -> float:
    """Check a finite number above 0.

    Args:
        name: The option, for the message.
        value: What was received.
    """
    if not _number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name}: expected a finite number above 0, received {value!r}")
    return float(value)


def nonnegative(name: str, value: object) -> float:
    """Check a finite number of at least 0.

    Args:
        name: The option, for the message.
        value: What was received.
    """
    if not _number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a finite number of at least 0, received {value!r}")
    return float(value)


def share(name: str, value: object, *, zero: bool = False) -> float:
    """Check a share that leaves something on both sides.

    Args:
        name: The option, for the message.
        value: What was received.
        zero: Whether 0, which takes nothing, is fine.
    """
    if not _number(value) or not (0 < value < 1 or (zero and value == 0)):
        least = "from 0" if zero else "above 0"
        raise ValueError(f"{name}: expected a share {least} and below 1, received {value!r}")
    return float(value)


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _whole(value: object, low: int) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low
