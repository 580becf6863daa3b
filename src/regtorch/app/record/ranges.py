"""Ranges and lists of numbers on a command line: `log:1e-6:1:32`, `lin:0:0.5`, `[0,1e-4,1e-3]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from regtorch.app.ground.errors import RunError

__all__ = ["FRACTION", "MOST", "Range", "numbers", "whole_numbers"]

FRACTION = "frac:"
"""Prefix of a range of fractions, spaced like log:."""

MOST = 10_000
"""The most numbers in a range."""
_FORMS = "a list such as [0,1e-4,1e-3], log:1e-6:1:32 or lin:0:0.5:6"


@dataclass(frozen=True)
class Range:
    """`KIND:FIRST:LAST` or `KIND:FIRST:LAST:COUNT`, where KIND is log, lin or frac."""

    kind: str  # log, lin or frac
    first: float
    last: float
    count: int | None  # both ends included; None if not given
    text: str  # as written

    @staticmethod
    def read(text: Any, kinds: Sequence[str] = ("log", "lin")) -> Range | None:
        """Parse a range, or return None."""
        kind, *ends = text.split(":") if isinstance(text, str) else [""]
        if kind not in kinds or len(ends) not in (2, 3):
            return None
        try:
            return Range(kind, float(ends[0]), float(ends[1]), int(ends[2]) if len(ends) == 3 else None, text)
        except ValueError:
            return None

    @property
    def finite(self) -> bool:
        """Whether both ends are finite."""
        return math.isfinite(self.first) and math.isfinite(self.last)

    @property
    def log(self) -> bool:
        """Whether its numbers are spaced logarithmically."""
        return self.kind != "lin"

    @property
    def values(self) -> list[float]:
        """Its numbers, rounded to the six significant digits that pages show."""
        count = self.count or 0
        shares = [step / (count - 1) for step in range(count)]
        if self.log:
            exact = [self.first ** (1 - share) * self.last**share for share in shares]
        else:
            exact = [self.first + share * (self.last - self.first) for share in shares]
        return [float(f"{value:.6g}") for value in exact]

    def __str__(self) -> str:
        """In words."""
        _, first, last, *_ = self.text.split(":")
        return f"from {first} to {last}{' by its logarithm' if self.log else ''}"


def numbers(key: str, given: Any, *, most: float = math.inf, fractions: bool = False) -> list[float]:
    """Read a list of numbers; an item of a list may be a range, as in `[0,log:1e-6:1:8]`.

    Args:
        key: the setting, for messages.
        given: its value in the config.
        most: the largest number allowed; the smallest is 0.
        fractions: whether `frac:FIRST:LAST:COUNT` is allowed.

    Raises:
        RunError: not a list of numbers, an empty list, duplicates, or a number out of bounds.

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
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        named = ", ".join(f"{value:g}" for value in twice[:5])
        raise RunError(f"{key}: expected different numbers, received {named} more than once in {_shown(given)}")
    return values


def whole_numbers(key: str, given: Any, *, most: float) -> list[int]:
    """Read a list of whole numbers, like `numbers`."""
    values = numbers(key, given, most=most)
    for value in values:
        if value != int(value):
            raise RunError(f"{key}: expected whole numbers such as [0,1,2] or lin:0:4:5, received {value!r}")
    return [int(value) for value in values]


def _item(key: str, item: Any, given: Any, kinds: Sequence[str]) -> list[float]:
    if isinstance(item, str) and (kind := item.partition(":")[0]) in kinds:
        return _values(key, kind, item)
    if isinstance(item, str):  # YAML reads numbers such as 1e-4 as text
        try:
            item = float(item)
        except ValueError:
            raise RunError(f"{key}: expected {_FORMS}, received {item!r}") from None
    if isinstance(item, bool) or not isinstance(item, Real):
        raise RunError(f"{key}: expected {_FORMS}, received {_shown(given)}")
    return [float(item)]


def _values(key: str, kind: str, text: str) -> list[float]:
    found = Range.read(text, (kind,))
    if found is None or found.count is None:
        raise RunError(f"{key}: expected {kind}:FIRST:LAST:COUNT such as {kind}:0.001:1:4, received {text!r}")
    if not found.finite:
        raise RunError(f"{key}: expected finite ends, received {text!r}")
    if not 2 <= found.count <= MOST:
        raise RunError(f"{key}: expected a count from 2 to {MOST:,}, received {found.count} in {text!r}")
    if found.log and min(found.first, found.last) <= 0:
        instead = f"[0,{kind}:1e-6:{text.split(':')[2]}:{found.count}]"
        raise RunError(
            f"{key}: expected ends above 0 of a {kind} range, received {text!r}; put a 0 before it: {instead}"
        )
    return found.values


def _shown(given: Any) -> str:
    text = str(given)
    return text if len(text) <= 80 else f"{text[:77]}…"
