"""What overrides say: whether a run was made by a setting, and which setting a run was made by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

__all__ = ["compare", "measured", "parse", "spelled"]

# What says where a run ran, what it showed and where it wrote, and nothing about what was measured.
_FREE = ("seed", "data.dir", "trainer.accelerator", "callbacks.progress", "logger", "out_dir", "doctor", "debug")
_DEVICES = ("auto", "cpu", "gpu")
# What changes a measured number a little and is meant to: the page says it.
_SAID = ("trainer.precision", "channels_last", "compile")


def parse(overrides: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """The value and the text of each key; of a key given twice the last, as Hydra takes it.

    Raises:
        ValueError: one is no override.
    """
    parsed: dict[str, tuple[Any, str]] = {}
    for text in overrides:
        key, value = _parse(text)
        parsed[key] = (value, text)
    return parsed


@lru_cache(maxsize=4096)  # the runs of a sweep share most of theirs, and Hydra's parser takes a millisecond for one
def _parse(text: str) -> tuple[str, Any]:
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise ValueError(f"expected group=option or key=value, received {text!r}") from None
    return override.get_key_element().lstrip("+"), override.value()


def measured(overrides: Sequence[str]) -> dict[str, str]:
    """What a run measured: the value of each key as a text, without the seed and what says how and where it ran.

    Values are written one way, so that 1e-4 and 0.0001 are one setting, and `true` and the `True` of Hydra's sweeps.

    Raises:
        ValueError: one is no override.
    """
    return {key: spelled(value) for key, (value, _) in parse(overrides).items() if not _is_free(key, value)}


def spelled(value: Any) -> str:
    """A value as an override says it, numbers written one way."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{spelled(key)}:{spelled(below)}' for key, below in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def compare(wanted: Sequence[str], received: Sequence[str]) -> tuple[list[str], list[str]]:
    """Compare a run's overrides with those of its setting.

    Args:
        wanted: the setting's overrides.
        received: the run's.

    Returns:
        Why the run is not the setting's, and the overrides beside the setting's that a reader has to know.

    Raises:
        ValueError: one is no override.
    """
    ours, theirs = parse(wanted), {"seed": (0, "seed=0"), **parse(received)}
    differences = [f"no {text}" for key, (_, text) in ours.items() if key not in theirs]
    said: list[str] = []
    for key, (value, text) in theirs.items():
        if key in ours:
            if value != ours[key][0]:
                differences.append(f"{text} in place of {ours[key][1]}")
        elif key in _SAID:
            said.append(text)
        elif not _is_free(key, value):
            differences.append(f"also {text}")
    return differences, sorted(said)


def _is_free(key: str, value: Any) -> bool:
    return key in _FREE or key.startswith(("hydra.", "hydra/")) or (key == "trainer" and value in _DEVICES)
