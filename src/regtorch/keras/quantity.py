"""What numbers in Keras's JSON may be."""

from __future__ import annotations

import math
from typing import Any

from regtorch.keras.shown import shown

__all__ = ["LARGEST", "is_size", "number"]

LARGEST = 2**31 - 1
_FLOAT32 = (2 - 2**-23) * 2.0**127


def is_size(value: object, least: int = 1) -> bool:
    """Whether it is a whole number that can be the size of something."""
    return type(value) is int and least <= value <= LARGEST


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A value of Keras's JSON that must be a number between two, and one of float32's range.

    Raises:
        ValueError: it is not.
    """
    try:
        good = isinstance(value, int | float) and not isinstance(value, bool) and abs(float(value)) <= _FLOAT32
    except OverflowError:  # a whole number beyond every float
        good = False
    if not good or not least <= value <= most:
        bounds = f" of at least {least:g}" * (least > -math.inf) + f" and at most {most:g}" * (most < math.inf)
        raise ValueError(f"{name} must be a finite number{bounds}, received {shown(value)}")
    return float(value)
