"""Lists of numbers on a command line: `log:1e-6:1:32`, `lin:0:0.5:6`, `[0,1e-4,1e-3]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from regtorch.training.errors import RunError

__all__ = ["FRACTION", "MOST", "numbers", "seeds"]

FRACTION = "frac:"
"""What a range of fractions begins with; they lie as those of log: do."""

_FORMS = "a list such as [0,1e-4,1e-3], log:1e-6:1:32 or lin:0:0.5:6"
MOST = 10_000
_MOST_SEED = 2**32 - 1


def numbers(key: str, given: Any, *, most: float = math.inf, fractions: bool = False) -> list[float]:
    """Read a list of numbers; an item of a list may be a range, as in `[0,log:1e-6:1:8]`.

    Args:
        key: what is read, for the messages.
        given: from the config.
        most: the largest number allowed; the smallest is 0.
        fractions: whether `frac:FIRST:LAST:COUNT` is read too, as the fractions that it names.

    Raises:
        RunError: no such list, an empty one, one with duplicates, or a number out of bounds.

    Example:
        >>> numbers("path.lams", "log:0.01:1:3")
        [0.01, 0.1, 1.0]
    """
    items = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    kinds = ("log", "lin", "frac") if fractions else ("log", "lin")
    values = [value for item in items for value in _item(key, item, given, kinds)]
    if not values:
        raise RunError(f"{key}: expected {_FORMS}, received an empty list")
    for value in values:
        if not 0 <= value <= most or math.isinf(value):
            bounds = "finite numbers of at least 0" if math.isinf(most) else f"numbers from 0 to {most:g}"
            raise RunError(f"{key}: expected {bounds}, received {value!r} in {_shown(given)}")
    _refuse_duplicates(key, values, given)
    return values


def seeds(key: str, given: Any) -> list[int]:
    """Read a list of seeds.

    Raises:
        RunError: no list of different whole numbers from 0.
    """
    values = numbers(key, given, most=_MOST_SEED)
    for value in values:
        if value != int(value):
            raise RunError(f"{key}: expected whole numbers such as [0,1,2] or lin:0:4:5, received {value!r}")
    return [int(value) for value in values]


def _item(key: str, item: Any, given: Any, kinds: Sequence[str]) -> list[float]:
    if isinstance(item, str) and item.partition(":")[0] in kinds:
        return _range(key, item)
    if isinstance(item, str):  # what YAML takes for a word, such as 1e-4
        try:
            item = float(item)
        except ValueError:
            raise RunError(f"{key}: expected {_FORMS}, received {item!r}") from None
    if isinstance(item, bool) or not isinstance(item, Real):
        raise RunError(f"{key}: expected {_FORMS}, received {_shown(given)}")
    return [float(item)]


def _range(key: str, text: str) -> list[float]:
    """`log:FIRST:LAST:COUNT`, `lin:FIRST:LAST:COUNT` or `frac:FIRST:LAST:COUNT`, both ends included."""
    kind, *parts = text.split(":")
    try:
        first, last, count = float(parts[0]), float(parts[1]), int(parts[2])
        if len(parts) != 3:
            raise ValueError
    except (ValueError, IndexError):
        raise RunError(f"{key}: expected {kind}:FIRST:LAST:COUNT such as {kind}:0.001:1:4, received {text!r}") from None
    if not (math.isfinite(first) and math.isfinite(last)):
        raise RunError(f"{key}: expected finite ends, received {text!r}")
    if not 2 <= count <= MOST:
        raise RunError(f"{key}: expected a count from 2 to {MOST:,}, received {count} in {text!r}")
    if kind != "lin" and min(first, last) <= 0:
        instead = f"[0,{kind}:1e-6:{parts[1]}:{count}]"
        raise RunError(f"{key}: a {kind} range has ends above 0, received {text!r}; a 0 goes before it: {instead}")
    shares = [step / (count - 1) for step in range(count)]
    if kind == "lin":
        return [_tidy(first + share * (last - first)) for share in shares]
    return [_tidy(first ** (1 - share) * last**share) for share in shares]


def _tidy(value: float) -> float:
    """Six significant digits, so that a number on the page is the number that was used."""
    return float(f"{value:.6g}")


def _refuse_duplicates(key: str, values: Sequence[float], given: Any) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        named = ", ".join(f"{value:g}" for value in twice[:5])
        raise RunError(f"{key}: expected different numbers, received {named} more than once in {_shown(given)}")


def _shown(given: Any) -> str:
    text = str(given)
    return text if len(text) <= 80 else f"{text[:77]}…"
