"""Checks of numbers in Keras's JSON."""

from __future__ import annotations

from typing import Any

from regtorch import checks

__all__ = ["LARGEST", "is_size", "number"]

LARGEST = 2**31 - 1
_FLOAT32 = (2 - 2**-23) * 2.0**127


def is_size(value: object, least: int = 1) -> bool:
    """Whether the value is an integer in the range of sizes."""
    return type(value) is int and least <= value <= LARGEST


def number(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """Check that a value is a number from `low` to `high` and within float32's range.

    Raises:
        ValueError: it is not.
    """
    given = checks.number("", name, value, low=low, high=high)
    if abs(given) > _FLOAT32:
        raise ValueError(f"{name} must be a finite number in float32, received {given:g}")
    return given
