"""Parse, compare, format and quote overrides of train.py."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from regtorch.app.ground.reading import read_yaml
from regtorch.app.record.file_names import OVERRIDES

__all__ = [
    "OWN_DATA",
    "changed",
    "chosen",
    "compare",
    "key_of",
    "measured",
    "parse",
    "parsed",
    "quoted",
    "read_overrides",
    "relevant",
    "setting_of",
    "spelled",
    "without",
]

# Where a run ran, what it displayed and where it wrote: no influence on what was measured.
_FREE = ("seed", "data.dir", "trainer.accelerator", "callbacks.progress", "logger", "out_dir", "doctor", "debug")
OWN_DATA = {"csv": ("file", "target"), "folder": ("dir",), "image_folder": ("dir",), "npz": ("dir",)}
"""Data sets that are the user's own, by option of `data`, and the settings below it that say which they are."""
_DEVICES = ("auto", "cpu", "gpu")
# Small, intended influence on measured numbers: the page lists them.
_NAMED = ("trainer.precision", "channels_last", "compile")


# Reading


@lru_cache(maxsize=4096)  # runs of a sweep share most overrides, and Hydra's parser takes a millisecond each
def parsed(text: str) -> Override:
    """Parse an override with Hydra's parser.

    Raises:
        ValueError: it is not an override.
    """
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        raise ValueError(f"expected group=option or key=value, received {text!r}") from None


def key_of(text: str) -> str:
    """The key or the group of an override."""
    return parsed(text).get_key_element().lstrip("+")


def parse(overrides: Iterable[str]) -> dict[str, tuple[Any, str]]:
    """The value and the text of each key; the last one wins, as in Hydra."""
    return {key_of(text): (parsed(text).value(), text) for text in overrides}


def read_overrides(folder: Path) -> list[str]:
    """The overrides that started the run in a folder.

    Raises:
        ValueError: the file cannot be read; the message names it.
    """
    path = folder / OVERRIDES
    overrides = read_yaml(path, texts=True)  # [] without overrides: an empty file is broken
    if not isinstance(overrides, list):
        raise ValueError(f"{path}: expected a list of overrides, received {overrides!r}")
    overrides = [str(override) for override in overrides]
    try:
        parse(overrides)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return overrides


# Choosing


def without(overrides: Iterable[str], keys: Container[str]) -> list[str]:
    """The overrides, except those of some keys."""
    return [text for text in overrides if key_of(text) not in keys]


def changed(overrides: Iterable[str], changes: Iterable[str]) -> list[str]:
    """Overrides in which changes replace overrides of the same keys."""
    changes = list(changes)
    return [*without(overrides, {key_of(text) for text in changes}), *changes]


def relevant(overrides: Sequence[str]) -> list[str]:
    """Overrides without those for output folders and display."""
    return [text for text in overrides if not re.match(r"\+*(hydra[./]|out_dir=|callbacks\.progress=)", text)]


def measured(overrides: Sequence[str]) -> dict[str, str]:
    """What a run measured: normalized values by key, without the seed and without where and how it ran.

    1e-4 and 0.0001 are the same setting, and so are `true` and the `True` of Hydra's sweeps.
    """
    given = parse(overrides)
    data, _ = given.get("data", (None, ""))
    own = [f"data.{key}" for key in OWN_DATA.get(str(data), ())]
    return {key: spelled(value) for key, (value, _) in given.items() if key in own or not _is_free(key, value)}


def setting_of(overrides: Sequence[str]) -> frozenset[tuple[str, str]]:
    """What `measured` finds, as a key: equal for runs that differ only in their seeds."""
    return frozenset(measured(overrides).items())


def compare(wanted: Sequence[str], received: Sequence[str]) -> tuple[list[str], list[str]]:
    """Reasons why a run does not belong to a setting, and its other overrides that a reader should know."""
    expected, found = parse(wanted), {"seed": (0, "seed=0"), **parse(received)}
    differences = [f"no {text}" for key, (_, text) in expected.items() if key not in found]
    named: list[str] = []
    for key, (value, text) in found.items():
        if key in expected:
            if value != expected[key][0]:
                differences.append(f"{text} in place of {expected[key][1]}")
        elif key in _NAMED:
            named.append(text)
        elif not _is_free(key, value):
            differences.append(f"also {text}")
    return differences, sorted(named)


def _is_free(key: str, value: Any) -> bool:
    return key in _FREE or key.startswith(("hydra.", "hydra/")) or (key == "trainer" and value in _DEVICES)


# Writing


def spelled(value: Any) -> str:
    """A value as text in an override, numbers normalized."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{spelled(key)}:{spelled(below)}' for key, below in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def quoted(text: object) -> str:
    """A text in quotes, for blanks, commas and other characters of the override grammar."""
    return QuotedString(str(text), Quote.single).with_quotes()


def chosen(parameters: Mapping[str, Any]) -> list[str]:
    """A search's parameters as overrides; trials train with floats rounded to these four digits."""
    return [f"{key}={_chosen(value)}" for key, value in parameters.items()]


def _chosen(value: Any) -> str:
    if isinstance(value, str):
        return value if _reads_as_itself(value) else quoted(value)
    return f"{value:.4g}" if isinstance(value, float) else spelled(value)


def _reads_as_itself(text: str) -> bool:
    try:
        return parsed(f"key={text}").value() == text
    except ValueError:
        return False
