"""JSON files of runs, searches and diagnoses: written without NaN, read if their schema is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.reading import read_text

__all__ = ["NewerSchema", "node", "number", "plain", "read_json", "write_json"]


class NewerSchema(ValueError):
    """A record written by a newer regtorch."""


_MOST = 2**26  # bytes: a path's summary.json has one or two kilobytes per member, and parsed up to 20 times as many


def write_json(path: Path, value: Any) -> None:
    """Write a value; NaN and infinities become null."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, newest: int) -> Any:
    """Read a JSON file whose `schema` is at most `newest`; a mapping without one is older and gets schema 0.

    Raises:
        NewerSchema: written by a newer regtorch.
        ValueError: it cannot be read, is not JSON or has an impossible schema; the message names the file.
    """
    try:
        tree = json.loads(read_text(path, _MOST))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None
    if not isinstance(tree, dict):
        return tree
    schema = tree.setdefault("schema", 0)
    if type(schema) is not int or schema < 0:
        raise ValueError(
            f"{path}: schema: expected a whole number from 0 to {newest}, received {schema!r}; the file is damaged: "
            "delete it, or run its command again"
        )
    if schema > newest:
        raise NewerSchema(
            f"{path}: a newer regtorch wrote it (schema {schema}, and this one reads up to {newest}); "
            "install a newer regtorch: pip install -U regtorch"
        )
    return tree


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
