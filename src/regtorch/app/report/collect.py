"""Collect runs, paths, searches, failures and diagnoses below a folder, and files that cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regtorch.app.ground.folders import ASIDE
from regtorch.app.record.file_names import (
    DIAGNOSIS,
    DIAGNOSIS_PAGE,
    ERROR,
    JOURNAL,
    METRICS,
    OVERRIDES,
    PATH,
    SEARCH,
    SUMMARY,
)
from regtorch.app.record.outputs import read_diagnosis
from regtorch.app.record.overrides import read_overrides
from regtorch.app.record.results import read_run
from regtorch.app.record.run_record import RunRecord, error_line
from regtorch.app.record.search import SearchRecord
from regtorch.app.record.walk import walk
from regtorch.app.report.entry import Entry, Lost, entry_of
from regtorch.app.report.read_path import read_path
from regtorch.app.report.read_search import Search, entries_of, lost_of

__all__ = ["Collected", "Diagnosis", "collect"]

_FILES = (SUMMARY, ERROR, DIAGNOSIS, SEARCH, PATH, JOURNAL)
_NOT_WALKED = ("checkpoints", "tensorboard", "csv", "journal.leases")


@dataclass(frozen=True)
class Diagnosis:
    """A doctor.json and its place in the report's folder."""

    name: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def page(self) -> Path:
        """The page about it, or else its folder."""
        page = self.folder / DIAGNOSIS_PAGE
        return page if page.is_file() else self.folder


@dataclass
class Collected:
    """The contents of a folder."""

    root: Path
    entries: list[Entry] = field(default_factory=list)  # trained nets
    searches: list[Search] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)  # failed or unfinished
    diagnoses: list[Diagnosis] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # a message per file
    written: tuple[float, float] | None = None  # oldest and newest modification time, in seconds since the epoch

    @property
    def empty(self) -> bool:
        return not (self.entries or self.searches or self.lost or self.diagnoses or self.unreadable)

    def saw(self, time: float) -> None:
        """Extend `written` by the time of a file."""
        first, last = self.written or (time, time)
        self.written = min(first, time), max(last, time)

    def name(self, folder: Path) -> str:
        """A folder relative to the root."""
        return "." if folder == self.root else folder.relative_to(self.root).as_posix()

    def cannot_read(self, error: Exception) -> None:
        """Note why a file cannot be read."""
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
        self.unreadable.append(text.replace(f"{self.root}{os.sep}", ""))


def collect(root: Path) -> Collected:
    """Collect what a folder and its subfolders hold.

    Raises:
        ValueError: it is not a folder.
    """
    if not root.is_dir():
        received = "a file" if root.exists() else "a missing path"
        raise ValueError(f"{root}: expected a folder with runs, received {received}")
    found = Collected(root)
    for folder, below, files in walk(root, found.cannot_read):
        below[:] = [name for name in below if not name.startswith(".") and name not in _NOT_WALKED]
        # A folder that was moved aside does not count if its job was started again.
        below[:] = [name for name in below if (job := _job(name)) is None or job not in below]
        for name in [name for name in below if name in _FILES]:
            found.cannot_read(ValueError(f"{folder / name}: expected a regular file, received a folder"))
            below.remove(name)
        if SEARCH in files:
            below[:] = [name for name in below if name != "trials"]
        try:
            _look(found, folder, set(files))
        except (OSError, ValueError, ArithmeticError, TypeError) as error:  # files that no script wrote
            found.cannot_read(error if isinstance(error, OSError | ValueError) else ValueError(f"{folder}: {error}"))
    return found


def _look(found: Collected, folder: Path, files: set[str]) -> None:
    name = found.name(folder)
    if DIAGNOSIS in files:
        found.diagnoses.append(Diagnosis(name, folder, read_diagnosis(folder)))
        found.saw((folder / DIAGNOSIS).stat().st_mtime)
    if SEARCH in files:
        _search(found, folder, name)
    elif SUMMARY in files:
        _finished(found, folder, name)
    elif ERROR in files:
        found.lost.append(Lost(name, folder, _started_with(folder), _error(folder / ERROR)))
        found.saw((folder / ERROR).stat().st_mtime)
    elif JOURNAL in files:
        reason = "an unfinished search; the same command continues it and writes search.json"
        found.lost.append(Lost(name, folder, _started_with(folder), reason, finished=False))
    elif DIAGNOSIS not in files and _begun(folder, files):
        aside = _job(folder.name) is not None
        reason = "did not finish, and was moved aside" if aside else "did not finish, or is still running"
        found.lost.append(Lost(name, folder, _started_with(folder), reason, finished=aside))


def _job(name: str) -> str | None:
    """The name of a folder before it was moved aside, or None."""
    aside = re.fullmatch(rf"(.+){re.escape(ASIDE)}\d+", name)
    return None if aside is None else aside[1]


def _finished(found: Collected, folder: Path, name: str) -> None:
    record = RunRecord.read(folder)
    ended = (folder / SUMMARY).stat().st_mtime
    assert record is not None
    if record.path is not None:
        entries, lost = read_path(folder, name, record, record.path, ended)
        found.entries += entries
        found.lost += lost
    elif _of_search(folder):
        return  # part of its search
    else:
        run = read_run(folder)
        assert run is not None
        found.entries.append(entry_of(name, run, ended))
    found.saw(ended)


def _search(found: Collected, folder: Path, name: str) -> None:
    search = Search(name, folder, SearchRecord.read(folder))
    found.searches.append(search)
    found.lost += lost_of(search)
    found.saw((folder / SEARCH).stat().st_mtime)
    for entry in entries_of(search):
        if isinstance(entry, ValueError):
            found.cannot_read(entry)
        else:
            found.entries.append(entry)


def _of_search(folder: Path) -> bool:
    """Whether a folder belongs to a trial; only its search knows its overrides."""
    return folder.parent.name == "trials" and not (folder / ".hydra").is_dir()


def _begun(folder: Path, files: set[str]) -> bool:
    hydra = (folder / OVERRIDES).is_file() or PATH in files
    return hydra or ((folder / METRICS).is_file() and not _of_search(folder))


def _started_with(folder: Path) -> list[str]:
    try:
        return read_overrides(folder) if (folder / ".hydra").is_dir() else []
    except ValueError:
        return []


def _error(path: Path) -> str:
    try:
        return error_line(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
