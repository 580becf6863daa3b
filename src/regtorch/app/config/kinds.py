"""Kinds of values that a setting may have, and their names in messages."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regtorch.app.config.interval_text import seconds_of
from regtorch.app.ground.errors import RunError, nearest
from regtorch.checks import span

__all__ = [
    "DURATION",
    "EVERY",
    "NULL",
    "NUMBER",
    "OBJECT",
    "REMOVED",
    "SWITCH",
    "TEXT",
    "WHOLE",
    "Kind",
    "choice",
    "count",
    "fixed",
    "number",
    "several",
    "shown",
]

REMOVED: Any = object()
"""Stands for a value that was removed from a config."""
_WIDEST = 2**63  # torch and Lightning hold whole numbers below this
_LARGEST = 3.4028234e38  # float32's
_LONGEST = 80  # characters of a value in a message
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


@dataclass(frozen=True)
class Kind:
    """A set of allowed values; `a | b` is the union."""

    fits: Callable[[Any], bool]
    names: tuple[str, ...]  # the alternatives, for messages; empty if those of another kind suffice
    words: tuple[str, ...] = ()  # candidates for "did you mean ...?"
    hint: str = ""  # what to do, if the alternatives do not show it

    def __or__(self, other: "Kind") -> "Kind":
        names = tuple(dict.fromkeys(self.names + other.names))
        words, hint = self.words + other.words, self.hint or other.hint
        return Kind(lambda value: self.fits(value) or other.fits(value), names, words, hint)

    @property
    def text(self) -> str:
        """The alternatives in words: "a, b or c"."""
        names = self.names or ("an object, written as {_target_: ...}",)
        return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)

    def check(self, key: str, value: Any) -> None:
        """Refuse a value of another kind."""
        if value is REMOVED:
            raise RunError(f"{key}: expected {self.text}, but the key was removed; omit ~{key}")
        if not self.fits(value):
            raise RunError(f"{key}: expected {self.text}, received {shown(value)}{self._advice(key, value)}")

    def _advice(self, key: str, value: Any) -> str:
        if self.hint:
            return f"; {self.hint}"
        if isinstance(value, str):
            return nearest(value, self.words)
        if isinstance(value, int | float | bool) and self.fits(shown(value)):
            return f"""; as text it needs two pairs of quotes: {key}="'{shown(value)}'\""""
        return ""


def shown(value: Any) -> str:
    """A value as on a command line, shortened for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= _WIDEST:
        return "a whole number that is too large"
    if isinstance(value, float) and _LARGEST < abs(value) < math.inf:
        return f"{value!r}, which is infinite in float32"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def count(low: int | None = None, high: int | None = None) -> Kind:
    """Whole numbers, without booleans and without 1.0."""

    def fits(value: Any) -> bool:
        return _is_whole(value) and (low is None or low <= value) and (high is None or value <= high)

    return Kind(fits, ("a whole number" + span(low, high),))


def number(low: float | None = None, high: float | None = None, *, above: bool = False, below: bool = False) -> Kind:
    """Finite numbers, without booleans; `above` and `below` exclude the bounds themselves."""

    def fits(value: Any) -> bool:
        if not (_is_whole(value) or (isinstance(value, float) and abs(value) <= _LARGEST)):
            return False
        return (low is None or (value > low if above else value >= low)) and (
            high is None or (value < high if below else value <= high)
        )

    finite = "" if low is not None and high is not None else "finite "
    return Kind(fits, (f"a {finite}number" + span(low, high, above=above, below=below),))


def choice(*words: Any) -> Kind:
    """One of some values, compared with their type."""
    names = tuple(str(word) for word in words)
    return Kind(lambda value: any(type(value) is type(word) and value == word for word in words), names, names)


def several(kind: Kind) -> Kind:
    """A list of any length, all of one kind."""
    return Kind(lambda value: _is_list(value) and all(map(kind.fits, value)), (f"a list, each item {kind.text}",))


def fixed(*kinds: Kind) -> Kind:
    """A list with one value of each kind, in this order."""

    def fits(value: Any) -> bool:
        return (
            _is_list(value) and len(value) == len(kinds) and all(k.fits(v) for k, v in zip(kinds, value, strict=True))
        )

    texts = dict.fromkeys(kind.text for kind in kinds)
    items = f"each {next(iter(texts))}" if len(texts) == 1 else "; ".join(kind.text for kind in kinds)
    return Kind(fits, (f"a list of {len(kinds)} items, {items}",))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WIDEST


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_duration(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(unit in _UNITS and number(0).fits(part) for unit, part in value.items()) and any(value.values())
    form = re.fullmatch(r"\s*\d+(:\d\d){3}\s*", value) if isinstance(value, str) else None
    return form is not None and any(digit in value for digit in "123456789")


NULL = Kind(lambda value: value is None, ("null",))
SWITCH = Kind(lambda value: isinstance(value, bool), ("true", "false"))
TEXT = Kind(lambda value: isinstance(value, str), ("text",))
OBJECT = Kind(lambda value: isinstance(value, Mapping) and "_target_" in value, ())
DURATION = Kind(_is_duration, ("a time above 0 as DD:HH:MM:SS",))
EVERY = Kind(lambda value: seconds_of(value) is not None, ("a time such as 30s, 10min or 2h",))
WHOLE, NUMBER = count(), number()
