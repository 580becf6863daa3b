"""What a value of a claim's file has to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

__all__ = ["Kind", "check", "listed", "matching", "one_of", "text", "twice", "whole"]


class Kind(NamedTuple):
    """What is expected, in words and as a test."""

    words: str
    fits: Callable[[Any], bool]


def matching(words: str, pattern: str) -> Kind:
    """A text that matches a pattern whole."""
    return Kind(words, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def one_of(*choices: str) -> Kind:
    """One of a few texts."""
    return Kind(f"one of {', '.join(choices)}", lambda value: value in choices)


def listed(words: str, kind: Kind) -> Kind:
    """A list of values of a kind."""
    return Kind(
        words, lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(map(kind.fits, value))
    )


text = Kind("a text", lambda value: isinstance(value, str) and bool(value.strip()))
whole = Kind("a whole number of 1 or more", lambda value: type(value) is int and value > 0)


def check(where: str, values: Any, kinds: Mapping[str, Kind], made: type) -> None:
    """Check the keys and values that a dataclass is made of.

    Raises:
        ValueError: one is missing, unknown or of another kind.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected {', '.join(kinds)}, received {values!r}")
    for key in (key for key in values if key not in kinds):
        raise ValueError(f"{where}: {key}: expected one of {', '.join(kinds)}, received an unknown key")
    for field in fields(made):
        if field.name in values:
            if not kinds[field.name].fits(values[field.name]):
                raise ValueError(
                    f"{where}: {field.name}: expected {kinds[field.name].words}, received {values[field.name]!r}"
                )
        elif field.default is MISSING:
            raise ValueError(f"{where}: {field.name}: expected {kinds[field.name].words}, received nothing")


def twice(names: Sequence[str]) -> list[str]:
    """The names that come more than once."""
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
