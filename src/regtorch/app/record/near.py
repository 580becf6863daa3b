"""Finished runs beside a run, newest first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from regtorch.app.ground.folders import ASIDE
from regtorch.app.record.file_names import SUMMARY
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.unpenalised import Finished

__all__ = ["MOST", "runs_near"]

MOST = 500
"""The most runs that are read, the newest: about a tenth of a second."""
_PLACES = ("runs", "sweeps")
"""Where `train` and `train -m` write by default, two folders deep."""


def runs_near(folder: Path) -> Iterator[Finished]:
    """The finished runs beside a run and below `runs/` and `sweeps/` of the working directory, without itself.

    Records that cannot be read are left out, as are paths; of more than `MOST` runs the oldest.
    """
    itself = folder.absolute()
    beside = [itself.parent, *(group for place in _PLACES for group in _folders(Path.cwd() / place))]
    found = {run: ended for group in dict.fromkeys(beside) for run in _folders(group) if (ended := _ended(run))}
    found.pop(itself, None)
    for run in sorted(found, key=lambda path: found[path], reverse=True)[:MOST]:
        try:
            record = RunRecord.read(run)
        except ValueError:
            continue
        if record is not None and record.path is None:
            yield Finished(run, record)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / e.name for e in entries if not e.name.startswith(".") and ASIDE not in e.name]
    except OSError:  # not a folder, or not ours to read
        return []


def _ended(folder: Path) -> int:
    """When a run ended; 0 if it did not."""
    try:
        return os.stat(folder / SUMMARY).st_mtime_ns
    except OSError:
        return 0
