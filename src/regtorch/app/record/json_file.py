"""JSON that runs leave: written without NaN, and read whatever somebody put there."""

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
    """Write a value; a number that is not finite becomes null."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: the file cannot be read, or is not JSON; with the file's name.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None


def plain(value: Any) -> Any:
    """A value as JSON has it; a number that is not finite is None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def node(tree: Any, *keys: str) -> Any:
    """What lies at some keys of JSON; None where there is nothing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def number(value: Any) -> float | None:
    """A value if it is a number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
