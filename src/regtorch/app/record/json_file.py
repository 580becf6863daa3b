"""JSON files of runs: written without NaN, read defensively."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.reading import read_text

__all__ = ["node", "number", "plain", "read_json", "write_json"]


def write_json(path: Path, value: Any) -> None:
    """Write a value; NaN and infinities become null."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: it cannot be read or is not JSON; the message names the file.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None


def plain(value: Any) -> Any:
    """A value in JSON's types; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def node(tree: Any, *keys: str) -> Any:
    """The value at nested keys, or None."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def number(value: Any) -> float | None:
    """The value as a float if it is a number, else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
