"""Read the folder of a path: an entry per member."""

from __future__ import annotations

from pathlib import Path

from regtorch.app.ground.errors import DIVERGED
from regtorch.app.record.epoch_tables import read_epochs
from regtorch.app.record.file_names import PATH
from regtorch.app.record.overrides import changed, key_of, read_overrides
from regtorch.app.record.results import Run
from regtorch.app.record.run_record import PathRecord, RunRecord
from regtorch.app.report.entry import Entry, Lost, entry_of

__all__ = ["read_path"]


def read_path(
    folder: Path, name: str, record: RunRecord, path: PathRecord, ended: float
) -> tuple[list[Entry], list[Lost]]:
    """The members of a finished path that were trained, and those that diverged."""
    epochs = read_epochs(folder / PATH, first=1, by="member")
    common = [text for text in read_overrides(folder) if not key_of(text).startswith("path.")]
    entries: list[Entry] = []
    lost: list[Lost] = []
    for member in path.members:
        overrides = changed(common, member.overrides)
        member_name = f"{name}, member {member.member}"
        if member.diverged is not None:
            reason = member.diverged.get("reason")
            lost.append(Lost(member_name, folder, overrides, f"{DIVERGED}: {reason}" if reason else DIVERGED))
        else:
            run = Run(folder, overrides, record.alone(member), epochs.get(member.member, {}))
            entries.append(entry_of(member_name, run, ended))
    return entries, lost
