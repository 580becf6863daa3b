"""Checks of arguments, with messages of one form: `owner: argument must be <what>, received <value>; <hint>`.

`owner` is the class or function; if empty, the message starts with the argument. `hint` is what to give instead. A
value of the wrong type raises an `ArgumentTypeError`, a number out of range a ValueError.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, NoReturn, TypeGuard

from torch import Tensor

__all__ = ["ArgumentTypeError", "flag", "integer", "nonnegative", "number", "one_of", "share", "shown", "sizes", "span"]

_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 3, 8, 8, 6
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 100


class ArgumentTypeError(TypeError, ValueError):
    """An argument of the wrong type; also a ValueError, for callers that only catch that."""


def number(
    owner: str,
    argument: str,
    value: object,
    hint: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: bool = False,
    below: bool = False,
) -> float:
    """A finite number or 0-dim tensor from `low` to `high`; `above` excludes `low`, `below` excludes `high`."""
    finite = "" if low is not None and high is not None else "finite "
    what = f"a {finite}number{span(low, high, above=above, below=below)}"
    given: object = value.item() if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex() else value
    if not _is_number(given):
        received = f"{shown(value)} of type {type(value).__name__}"
        raise ArgumentTypeError(_message(owner, argument, what, received, "give a plain number"))
    try:
        x = float(given)
    except OverflowError:  # an int from a file
        x = math.inf
    fits = (low is None or (x > low if above else x >= low)) and (high is None or (x < high if below else x <= high))
    if not fits or not math.isfinite(x):
        _refuse(owner, argument, what, value, hint)
    return x


def nonnegative(owner: str, argument: str, value: object, hint: str = "0 switches it off") -> float:
    """A strength, a bound or a rate: a finite number of at least 0."""
    return number(owner, argument, value, hint, low=0)


def share(owner: str, argument: str, value: object, hint: str = "", *, zero: bool = False) -> float:
    """A number above 0 and below 1; with `zero` also 0."""
    return number(owner, argument, value, hint, low=0, high=1, above=not zero, below=True)


def integer(owner: str, argument: str, value: object, hint: str = "", *, low: int = 1, high: int | None = None) -> int:
    """A whole number; True and 1.0 are refused."""
    what = f"a whole number{span(low, high)}"
    if not _is_integer(value):
        raise ArgumentTypeError(_message(owner, argument, what, shown(value), hint))
    if value < low or (high is not None and value > high):
        _refuse(owner, argument, what, value, hint)
    return int(value)


def sizes(owner: str, argument: str, value: object, axes: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers of at least 1, one for each of `axes`."""
    given = tuple(value) if isinstance(value, Sequence) else ()
    if len(given) != len(axes) or not all(_is_integer(n) and n > 0 for n in given):
        what = f"({', '.join(axes)}), whole numbers of at least 1"
        raise ArgumentTypeError(_message(owner, argument, what, shown(value)))
    return tuple(map(int, given))


def flag(owner: str, argument: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(_message(owner, argument, "True or False", shown(value)))
    return value


def one_of(owner: str, argument: str, value: Any, choices: Collection[Any], hint: str = "") -> Any:
    """One of `choices`; 1 is not True."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *first, last = map(repr, choices)
        _refuse(owner, argument, " or ".join(part for part in (", ".join(first), last) if part), value, hint)
    return value


def span(low: float | None, high: float | None, *, above: bool = False, below: bool = False) -> str:
    """A range in words that continues "a number".

    >>> span(0, 1), span(0, None, above=True)
    (' from 0 to 1', ' above 0')
    """
    if low is not None and high is not None and not above and not below:
        return f" from {low:.10g} to {high:.10g}"
    ends = [] if low is None else [f"{'above' if above else 'of at least'} {low:.10g}"]
    most = "below" if below else "at most" if ends else "of at most"
    ends += [] if high is None else [f"{most} {high:.10g}"]
    return f" {' and '.join(ends)}" if ends else ""


def shown(value: object) -> str:
    """The value's repr, shortened."""
    try:
        return _REPR.repr(value)
    except (ValueError, RecursionError):  # an int with too many digits to print, or a recursive repr
        return f"a {type(value).__name__}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _refuse(owner: str, argument: str, what: str, value: object, hint: str) -> NoReturn:
    raise ValueError(_message(owner, argument, what, shown(value), hint))


def _message(owner: str, argument: str, what: str, received: str, hint: str = "") -> str:
    return f"{owner}{': ' * bool(owner)}{argument} must be {what}, received {received}{'; ' * bool(hint)}{hint}"
