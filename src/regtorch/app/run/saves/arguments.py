"""`resume=` on the command line: the arguments of the run that goes on, and its folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from regtorch.app.config.command_line import is_multirun
from regtorch.app.ground.errors import RunError, say
from regtorch.app.ground.folders import Folders, move_aside
from regtorch.app.ground.locks import is_busy
from regtorch.app.record.file_names import SAVE
from regtorch.app.record.overrides import parse, quoted, read_overrides, relevant
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.saves.begun import as_begun, begun_with, value_of
from regtorch.app.run.saves.settings import refuse_config

__all__ = ["Finished", "resumed_arguments", "without_null"]

_RUNS = {"train": "runs", "path": "paths"}
"""The programs that resume, and the folder below which each writes by default."""


class Finished(Exception):
    """The run that is to be resumed has finished."""


def without_null(arguments: Sequence[str]) -> list[str]:
    """Drop `resume=` and `rerun=` if null or false, given last, turns them off."""
    kept = [*arguments]
    for start in ("resume=", "rerun="):
        values = [value_of(text) for text in kept if text.startswith(start)]
        if values and values[-1] in (None, False):
            kept = [text for text in kept if not text.startswith(start)]
    return kept


def resumed_arguments(arguments: Sequence[str], program: str) -> list[str]:
    """Replace `resume=` by what it stands for.

    `resume=DIR` is the command of the run or sweep in DIR, in DIR, with the other arguments added. `resume=true` is the
    run in `hydra.run.dir`, or else the newest with the same overrides below `runs/` or `paths/`, or else a new run.

    Raises:
        Finished: that run has finished.
        RunError: DIR holds neither a run nor a sweep, or another process works there.
    """
    values = [value_of(text) for text in arguments if text.startswith("resume=")]
    others = [text for text in arguments if not text.startswith("resume=")]
    if not values:
        return others
    if program not in _RUNS:
        how = "; a search goes on by the same command with its folder" if program == "search" else ""
        raise RunError(f"resume: only `train` and `path` resume runs{how}")
    if values[-1] == "":
        raise RunError("resume: expected the folder of a run, or true, received an empty name; write resume=DIR")
    if values[-1] is not True:
        return _of_folder(Path(str(values[-1])), others, program)
    if is_multirun(others):
        raise RunError("resume=true: a sweep resumes in its folder; name it with resume=DIR or hydra.sweep.dir=DIR")
    named = [Path(str(value_of(text))) for text in others if text.startswith("hydra.run.dir=")]
    folder = named[-1] if named else _newest(others, Path(_RUNS[program]))
    if folder is None or not (folder / ".hydra").is_dir():
        say("no run with these settings has begun; this one is new", "note")
        return others
    return [*others, *as_begun(folder), *_go_on(folder, others)]


def _of_folder(folder: Path, others: list[str], program: str) -> list[str]:
    sweep, run = folder / "multirun.yaml", folder / ".hydra" / "hydra.yaml"
    if sweep.is_file():
        return ["-m", *begun_with(sweep, program, "resume"), *others, f"hydra.sweep.dir={quoted(folder)}"]
    if not run.is_file():
        raise RunError(f"resume={folder}: expected the folder of a run or a sweep, with its .hydra or multirun.yaml")
    arguments = [*begun_with(run, program, "resume"), *others]
    return [*arguments, *_go_on(folder, arguments)]


def _go_on(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Prepare the folder of a run with these arguments: one without saves begins again, its files moved aside."""
    saved = any(folder.glob(SAVE))
    if not saved and _finished(folder):
        if not _has(folder, _values([text for text in arguments if not text.startswith("-")])):
            raise RunError(f"resume: the run in {folder} has finished with other settings; start a new run with these")
        raise Finished(f"{folder} has finished")
    if is_busy(folder):
        raise RunError(f"resume: {folder} is in use by another process; resume it when that has ended")
    if saved:
        Folders.resumed, Folders.check = folder.absolute(), partial(refuse_config, folder.absolute())
    else:
        move_aside(folder)
    return [f"hydra.run.dir={quoted(folder)}"]


def _finished(folder: Path) -> bool:
    try:
        return RunRecord.read(folder) is not None
    except ValueError as error:
        raise RunError(f"resume: {error}") from None


def _newest(others: Sequence[str], runs: Path) -> Path | None:
    """The newest run with the same overrides."""
    wanted = _values([text for text in others if not text.startswith("-")])
    folders = sorted(runs.glob("*/*/.hydra"), key=lambda path: path.parent.name, reverse=True)
    return next((path.parent for path in folders if _has(path.parent, wanted)), None)


def _has(folder: Path, wanted: dict[str, Any]) -> bool:
    try:
        return _values(read_overrides(folder)) == wanted
    except ValueError:  # half-written
        return False


def _values(overrides: Sequence[str]) -> dict[str, Any]:
    """The values that decide which run it is, by key."""
    given = parse(relevant(overrides))
    return {key: value for key, (value, _) in given.items() if key not in ("save_every", "debug")}
