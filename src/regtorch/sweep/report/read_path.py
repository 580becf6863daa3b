"""A path's folder (scripts/path.py): an entry for each member."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regtorch.sweep.overrides import parse
from regtorch.sweep.report.entry import Entry, Lost, entry_of, node, number, telling
from regtorch.sweep.report.names import PATH_CSV
from regtorch.sweep.results import Run, read_overrides
from regtorch.training.reading import read_text

__all__ = ["is_path", "read_path"]


def is_path(summary: Mapping[str, Any]) -> bool:
    """Whether a summary is a path's."""
    return isinstance(node(summary, "path", "members"), list)


def read_path(folder: Path, name: str, summary: Mapping[str, Any], ended: float) -> tuple[list[Entry], list[Lost]]:
    """The members of a finished path, and those that diverged.

    Raises:
        ValueError: its files cannot be read, or are no path's; with the file's name.
    """
    epochs = _epochs(folder / PATH_CSV)
    said = [text for text in read_overrides(folder) if not next(iter(parse([text]))).startswith("path.")]
    entries: list[Entry] = []
    lost: list[Lost] = []
    for member in summary["path"]["members"]:
        place, own, final = (node(member, key) for key in ("member", "overrides", "final"))
        if not (isinstance(place, int) and _are(own, list, str) and _are(final, dict, int | float | None)):
            raise ValueError(
                f"{folder / 'summary.json'}: path: expected members with their metrics, received {str(member)[:80]}"
            )
        taken = parse(own)
        overrides = [*(text for text in said if next(iter(parse([text]))) not in taken), *own]
        who = f"{name}, member {place}"
        if (diverged := node(member, "diverged")) is not None:
            lost.append(Lost(who, " ".join(telling(overrides)), _reason(diverged)))
            continue
        run = Run(folder, overrides, {**summary, **member}, epochs.get(place, {}))
        norm, zeros = (number(member.get(key)) for key in ("norm", "zeros"))
        entries.append(entry_of(who, run, ended, norm=norm, zeros=zeros))
    return entries, lost


def _are(values: Any, kind: type, of: Any) -> bool:
    found = values.values() if isinstance(values, dict) else values
    return isinstance(values, kind) and all(isinstance(value, of) for value in found)


def _reason(diverged: Any) -> str:
    reason = node(diverged, "reason")
    return f"diverged: {reason}" if reason else "diverged"


def _epochs(path: Path) -> dict[int, dict[str, dict[int, float]]]:
    """By member and metric, the value of each epoch."""
    members: dict[int, dict[str, dict[int, float]]] = {}
    line = 1
    try:
        with io.StringIO(read_text(path), newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                line = rows.line_num
                if None in row or None in row.values():
                    raise ValueError(f"expected {len(rows.fieldnames or ())} columns")
                metrics = members.setdefault(int(row["member"]), {})
                epoch = int(row["epoch"])
                for name, value in row.items():
                    if value and name.startswith(("train/", "val/")):
                        metrics.setdefault(name, {})[epoch] = float(value)
    except KeyError as error:
        raise ValueError(f"{path}: expected a column {error}") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: line {line}: {error}") from None
    return members
