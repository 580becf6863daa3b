"""Read the folder of a path: an entry per member."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from regtorch.app.ground.errors import DIVERGED
from regtorch.app.ground.reading import read_text
from regtorch.app.record.files import PATH
from regtorch.app.record.overrides import changed, key_of, read_overrides
from regtorch.app.record.results import Run
from regtorch.app.record.run import PathRecord, RunRecord
from regtorch.app.report.entry import Entry, Lost, entry_of

__all__ = ["read_path"]


def read_path(
    folder: Path, name: str, record: RunRecord, path: PathRecord, ended: float
) -> tuple[list[Entry], list[Lost]]:
    """The members of a finished path that were trained, and those that diverged."""
    epochs = _epochs(folder / PATH)
    common = [text for text in read_overrides(folder) if not key_of(text).startswith("path.")]
    entries: list[Entry] = []
    lost: list[Lost] = []
    for member in path.members:
        overrides = changed(common, member.overrides)
        member_name = f"{name}, member {member.member}"
        if member.diverged is not None:
            reason = member.diverged.get("reason")
            lost.append(Lost(member_name, overrides, f"{DIVERGED}: {reason}" if reason else DIVERGED))
        else:
            run = Run(folder, overrides, record.alone(member), epochs.get(member.member, {}))
            entries.append(entry_of(member_name, run, ended))
    return entries, lost


def _epochs(path: Path) -> dict[int, dict[str, dict[int, float]]]:
    """The values by member, metric and epoch."""
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
