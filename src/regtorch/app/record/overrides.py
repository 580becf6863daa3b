"""Overrides of train.py: read, compared, spelled and quoted."""

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
from regtorch.app.record.files import OVERRIDES

__all__ = [
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
    "spelled",
    "without",
]

# What says where a run ran, what it showed and where it wrote, and nothing about what was measured.
_FREE = ("seed", "data.dir", "trainer.accelerator", "callbacks.progress", "logger", "out_dir", "doctor", "debug")
_DEVICES = ("auto", "cpu", "gpu")
# What changes a measured number a little and is meant to: the page names it.
_NAMED = ("trainer.precision", "channels_last", "compile")


# Reading


@lru_cache(maxsize=4096)  # the runs of a sweep share most of theirs, and Hydra's parser takes a millisecond for each
def parsed(text: str) -> Override:
    """An override as Hydra reads it.

    Raises:
        ValueError: it is not one.
    """
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        raise ValueError(f"expected group=option or key=value, received {text!r}") from None


def key_of(text: str) -> str:
    """The key or the group of an override; errors as `parsed`."""
    return parsed(text).get_key_element().lstrip("+")


def parse(overrides: Iterable[str]) -> dict[str, tuple[Any, str]]:
    """The value and the text of each key; the last one of a key given twice, as Hydra takes it."""
    return {key_of(text): (parsed(text).value(), text) for text in overrides}


def read_overrides(folder: Path) -> list[str]:
    """The overrides that started the run in a folder.

    Raises:
        ValueError: the file cannot be read; with the file's name.
    """
    path = folder / OVERRIDES
    overrides = read_yaml(path, texts=True)  # [] where there were none: an empty file is a broken one
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
    """The overrides of other keys; errors as `parsed`."""
    return [text for text in overrides if key_of(text) not in keys]


def changed(overrides: Iterable[str], changes: Iterable[str]) -> list[str]:
    """Overrides with changes in place of what they say on the same keys; errors as `parsed`."""
    changes = list(changes)
    return [*without(overrides, {key_of(text) for text in changes}), *changes]


def relevant(overrides: Sequence[str]) -> list[str]:
    """Overrides without those that only say where a run writes and what it shows."""
    return [text for text in overrides if not re.match(r"\+*(hydra[./]|out_dir=|callbacks\.progress=)", text)]


def measured(overrides: Sequence[str]) -> dict[str, str]:
    """What a run measured: the value of each key as a text, without the seed and what says how and where it ran.

    Values are written one way, so that 1e-4 and 0.0001 are one setting, and `true` and the `True` of Hydra's sweeps.
    """
    return {key: spelled(value) for key, (value, _) in parse(overrides).items() if not _is_free(key, value)}


def compare(wanted: Sequence[str], received: Sequence[str]) -> tuple[list[str], list[str]]:
    """Compare a run's overrides with those of its setting."""
    ours, theirs = parse(wanted), {"seed": (0, "seed=0"), **parse(received)}
    differences = [f"no {text}" for key, (_, text) in ours.items() if key not in theirs]
    named: list[str] = []
    for key, (value, text) in theirs.items():
        if key in ours:
            if value != ours[key][0]:
                differences.append(f"{text} in place of {ours[key][1]}")
        elif key in _NAMED:
            named.append(text)
        elif not _is_free(key, value):
            differences.append(f"also {text}")
    return differences, sorted(named)


def _is_free(key: str, value: Any) -> bool:
    return key in _FREE or key.startswith(("hydra.", "hydra/")) or (key == "trainer" and value in _DEVICES)


# Writing


def spelled(value: Any) -> str:
    """A value as an override spells it, numbers written one way."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{spelled(key)}:{spelled(below)}' for key, below in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def quoted(text: object) -> str:
    """A text in quotes: blanks, commas and the like belong to the grammar of overrides."""
    return QuotedString(str(text), Quote.single).with_quotes()


def chosen(parameters: Mapping[str, Any]) -> list[str]:
    """The overrides of a search's parameters, floats to four digits, which are also what is trained with."""
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
