"""Metrics by epoch, read from metrics.csv and path.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from regtorch.app.ground.reading import read_text

__all__ = ["Epochs", "read_epochs"]

Epochs = Mapping[str, Mapping[int, float]]
"""Values by metric, such as "val/loss", then by epoch, counted from 1."""
_MOST = 10**9  # epochs or members
_MOST_ROWS = 1_500_000


def read_epochs(path: Path, *, first: int, by: str | None = None, growing: bool = False) -> dict[int, Epochs]:
    """Read the metrics of training and validation in a CSV file.

    Args:
        path: the file.
        first: the number that the file gives to the first epoch.
        by: a column of whole numbers, for each of which there are values; without it they are those of 0.
        growing: whether lines are still added; the last one is incomplete if it has no line break.

    Raises:
        ValueError: it cannot be read; the message names the file and the line.
    """
    found: dict[int, dict[str, dict[int, float]]] = {}
    line = 1
    try:
        text = read_text(path)
        if text and not growing and not text.endswith("\n"):
            raise ValueError("the last line has no line break: the file is cut off")
        with io.StringIO(text, newline="") as file:
            rows = csv.reader(row for row in file if row.endswith("\n") or not growing)
            header = next(rows, [])
            missing = [name for name in ("epoch", by) if name not in (None, *header)]
            if missing:
                raise ValueError(f"expected a column {missing[0]!r}")
            places = {name: place for place, name in enumerate(header)}
            kept = [(place, name) for name, place in places.items() if _is_of_epochs(name)]
            for row in rows:
                line = rows.line_num
                if line > _MOST_ROWS:
                    raise ValueError(f"expected at most {_MOST_ROWS:,} rows, received more")
                if len(row) != len(header):
                    raise ValueError(f"expected {len(header)} columns, received {len(row)}")
                values = [(name, float(row[place])) for place, name in kept if row[place]]
                if not values:  # as in rows of learning rates, which have no epoch
                    continue
                epoch = _whole("epoch", row[places["epoch"]], first) - first + 1
                metrics = found.setdefault(0 if by is None else _whole(by, row[places[by]], 0), {})
                for name, value in values:
                    # The last row of an epoch holds its mean; rows of steps come before it.
                    metrics.setdefault(name, {})[epoch] = value
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: line {line}: {error}") from None
    return {number: dict(metrics) for number, metrics in found.items()}


def _is_of_epochs(name: str) -> bool:
    return name.startswith(("train/", "val/")) and not name.endswith("_step")


def _whole(name: str, text: str, first: int) -> int:
    value = float(text) if text else math.nan
    if not value.is_integer() or not first <= value < _MOST:
        raise ValueError(f"{name}: expected {first}, {first + 1}, …, received {text!r}")
    return int(value)
