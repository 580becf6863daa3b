"""Checks of arguments, with messages of one form: `owner: argument must be <what>, received <value>; <hint>`.

`owner` names the class or function; where it is empty the message begins with the argument. A value of another kind is
an `ArgumentTypeError`, a number out of its range a ValueError.
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
    """An argument of a kind that the function does not take; also a ValueError, for those who catch that alone."""


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
    """A finite number, which a tensor of one may be.

    Args:
        owner: the class or function.
        argument: its argument.
        value: what it received.
        hint: what to give instead.
        low: the least.
        high: the largest.
        above: whether `low` itself is left out.
        below: whether `high` itself is left out.

    Raises:
        ArgumentTypeError: `value` is not a real number.
        ValueError: it is infinite, NaN or out of its range.
    """
    finite = "" if low is not None and high is not None else "finite "
    what = f"a {finite}number{span(low, high, above=above, below=below)}"
    given: object = value.item() if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex() else value
    if not _is_number(given):
        received = f"{shown(value)} of type {type(value).__name__}"
        raise ArgumentTypeError(_message(owner, argument, what, received, "give a plain number"))
    try:
        found = float(given)
    except OverflowError:  # an int of a hostile file
        found = math.inf
    fits = (low is None or (found > low if above else found >= low)) and (
        high is None or (found < high if below else found <= high)
    )
    if not fits or not math.isfinite(found):
        _refuse(owner, argument, what, value, hint)
    return found


def nonnegative(owner: str, argument: str, value: object, hint: str = "0 switches it off") -> float:
    """A strength, a bound or a rate: a finite number of at least 0.

    Raises:
        ArgumentTypeError: `value` is not a real number.
        ValueError: it is negative, infinite or NaN.
    """
    return number(owner, argument, value, hint, low=0)


def share(owner: str, argument: str, value: object, hint: str = "", *, zero: bool = False) -> float:
    """A number above 0, or of at least 0 where `zero` is true, and below 1.

    Raises:
        ArgumentTypeError: `value` is not a real number.
        ValueError: it is out of that range.
    """
    return number(owner, argument, value, hint, low=0, high=1, above=not zero, below=True)


def integer(owner: str, argument: str, value: object, hint: str = "", *, low: int = 1, high: int | None = None) -> int:
    """A whole number; neither True nor 1.0 is one.

    Raises:
        ArgumentTypeError: `value` is not a whole number.
        ValueError: it is out of its range.
    """
    what = f"a whole number{span(low, high)}"
    if not _is_integer(value):
        raise ArgumentTypeError(_message(owner, argument, what, shown(value), hint))
    if value < low or (high is not None and value > high):
        _refuse(owner, argument, what, value, hint)
    return int(value)


def sizes(owner: str, argument: str, value: object, axes: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers of at least 1, one for each of the named axes.

    Raises:
        ArgumentTypeError: `value` is something else.
    """
    given = tuple(value) if isinstance(value, Sequence) else ()
    if len(given) != len(axes) or not all(_is_integer(n) and n > 0 for n in given):
        what = f"({', '.join(axes)}), whole numbers of at least 1"
        raise ArgumentTypeError(_message(owner, argument, what, shown(value)))
    return tuple(map(int, given))


def flag(owner: str, argument: str, value: object) -> bool:
    """True or False.

    Raises:
        ArgumentTypeError: `value` is neither.
    """
    if not isinstance(value, bool):
        raise ArgumentTypeError(_message(owner, argument, "True or False", shown(value)))
    return value


def one_of(owner: str, argument: str, value: Any, choices: Collection[Any], hint: str = "") -> Any:
    """One of a few values; 1 is not True.

    Raises:
        ValueError: `value` is another one.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *first, last = map(repr, choices)
        _refuse(owner, argument, " or ".join(part for part in (", ".join(first), last) if part), value, hint)
    return value


def span(low: float | None, high: float | None, *, above: bool = False, below: bool = False) -> str:
    """A range in words, to follow "a number".

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
    """The value's repr, cut where it is long or deep."""
    try:
        return _REPR.repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python prints, or a repr without an end
        return f"a {type(value).__name__}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _refuse(owner: str, argument: str, what: str, value: object, hint: str) -> NoReturn:
    raise ValueError(_message(owner, argument, what, shown(value), hint))


def _message(owner: str, argument: str, what: str, received: str, hint: str = "") -> str:
    return f"{owner}{': ' * bool(owner)}{argument} must be {what}, received {received}{'; ' * bool(hint)}{hint}"
