"""Read the folder of a search: its record, an entry per complete trial, and the failed ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regtorch.app.record.file_names import SUMMARY
from regtorch.app.record.overrides import chosen
from regtorch.app.record.results import read_run
from regtorch.app.record.search import SearchRecord
from regtorch.app.report.entry import Entry, Lost, entry_of

__all__ = ["Search", "entries_of", "lost_of"]


@dataclass(frozen=True)
class Search:
    """A search in the report's folder, with its place there."""

    name: str
    folder: Path
    record: SearchRecord


def entries_of(search: Search) -> Iterator[Entry | ValueError]:
    """The complete trials whose folders exist; an error for each that cannot be read."""
    for trial in search.record.complete:
        folder = search.folder / "trials" / str(trial.number)
        try:
            run = read_run(folder, [*search.record.overrides, *chosen(trial.parameters)])
            if run is not None:
                ended = (folder / SUMMARY).stat().st_mtime
                yield entry_of(f"{search.name}, trial {trial.number}", run, ended, searched=True)
        except (OSError, ValueError) as error:
            yield ValueError(str(error))


def lost_of(search: Search) -> list[Lost]:
    """The failed trials."""
    return [
        Lost(
            f"{search.name}, trial {trial.number}",
            search.folder / "trials" / str(trial.number),
            [*search.record.overrides, *chosen(trial.parameters)],
            trial.reason or "failed without a reason",
        )
        for trial in search.record.trials
        if trial.state == "fail"
    ]
