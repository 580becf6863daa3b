"""`rerun=` on the command line: a finished run is repeated in a new folder, and its result compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regtorch.app.ground.errors import RunError
from regtorch.app.record.command import command
from regtorch.app.record.comparison import Comparison
from regtorch.app.record.file_names import STEP, SUMMARY
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.saves.begun import begun_with, value_of

__all__ = ["Rerun", "rerun_of"]

_ALLOWED = ("hydra.run.dir=", "debug=", "save_every=")
"""Arguments beside `rerun=`: they change no result."""


@dataclass(frozen=True)
class Rerun:
    """A run to be repeated."""

    folder: Path
    record: RunRecord
    arguments: Sequence[str]  # that repeat it

    def compared(self, job: Callable[[DictConfig], Any]) -> Callable[[DictConfig], None]:
        """A job that then prints how its result differs.

        Its `SystemExit` has the code 1 if the result differs.
        """

        def run(cfg: DictConfig) -> None:
            job(cfg)
            now = RunRecord.read(Path(HydraConfig.get().runtime.output_dir))
            if now is None:  # a follower of a distributed run
                return
            comparison = Comparison.of(self.record, now)
            print(f"\nrerun of {self.folder}: {comparison}")
            if not comparison.same:
                raise SystemExit(1)

        return run


def rerun_of(arguments: Sequence[str], program: str) -> Rerun | None:
    """The run that `rerun=DIR` repeats; None without `rerun=`.

    Raises:
        RunError: DIR holds no finished run, its record has no config or cannot be read, or other settings are given.
    """
    values = [value_of(text) for text in arguments if text.startswith("rerun=")]
    others = [text for text in arguments if not text.startswith("rerun=")]
    if not values:
        return None
    if values[-1] in ("", True):
        raise RunError("rerun: expected the folder of a finished run, received none; write rerun=DIR")
    if program != "train":
        raise RunError("rerun: only `train` repeats runs")
    other = next((text for text in others if not text.startswith(_ALLOWED)), None)
    if other is not None:
        raise RunError(
            f"rerun: a run is repeated with its own settings, received {other}; leave it out, or start a new run"
        )
    folder = Path(str(values[-1]))
    record = _record(folder)
    return Rerun(folder, record, [*begun_with(folder / ".hydra" / "hydra.yaml", program, "rerun"), *others])


def _record(folder: Path) -> RunRecord:
    if (folder / "multirun.yaml").is_file():
        raise RunError(
            f"rerun={folder}: expected the folder of one run, received a sweep; name a job, as rerun={folder}/0"
        )
    try:
        record = RunRecord.read(folder)
    except ValueError as error:
        raise RunError(f"rerun: {error}") from None
    if record is None:
        unfinished, failed = (folder / ".hydra").is_dir(), (folder / STEP).is_file()
        how = f"finish it with: {command('train', [f'resume={folder}'])}" if unfinished else "has it moved?"
        how = f"this run diverged, and {folder / STEP} repeats the step" if failed else how
        raise RunError(f"rerun={folder}: expected the folder of a finished run, with its {SUMMARY}; {how}")
    if record.path is not None:
        raise RunError(
            f"rerun={folder}: expected a run of `train`, received a path; its members have commands of their own"
        )
    if not record.config:
        raise RunError(f"rerun: {folder / SUMMARY} has no config to compare with; start the run anew instead")
    return record
