"""The saves of a run: when they are due, whether their settings agree, and how the run resumes from the newest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.command_line import own_configs, task_overrides
from regtorch.app.ground.atomic import atomic, remove_leftovers
from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.errors import RunError, say
from regtorch.app.record.command import command
from regtorch.app.record.file_names import ERROR, SAVES
from regtorch.app.record.json_file import plain
from regtorch.app.run.saves.every import Every
from regtorch.app.run.saves.settings import refuse_other
from regtorch.app.run.saves.store import Save, Store
from regtorch.counted import counted

__all__ = ["OURS", "Saves"]

OURS = "regtorch"
"""The part of a state that Lightning's checkpoints leave out."""


class Saves:
    """The saves of the run in `folder`.

    Attributes:
        every: when the next one is due.
        resumed: the save that the run resumes from, or None.
        written: the last one written by this process.
        trackers: the run's id at a tracker, by the name of the logger; saved too.

    Raises:
        RunError: the run in the folder has other settings, or all its saves are broken.
    """

    def __init__(self, cfg: DictConfig, folder: Path) -> None:
        self.folder, self.every = folder, Every.of(cfg.save_every)
        self._store = Store(folder)
        self._settings: Any = plain(OmegaConf.to_container(cfg, resolve=True))
        self.written: Save | None = None
        self.trackers: Mapping[str, str] = {}
        try:
            self.resumed = self._store.newest()
        except ValueError as error:
            raise RunError(f"resume: {error}; no save is left, and nothing was changed; {_anew(folder)}") from None
        if self.resumed is not None:
            refuse_other(self.resumed.settings, self._settings, folder)
            _put_back(self.resumed, folder)
        self._began = perf_counter() - (0.0 if self.resumed is None else self.resumed.seconds)

    def seconds(self) -> float:
        """Seconds that the run has taken, those before an interruption included."""
        return perf_counter() - self._began

    def load(self, *parts: str, mapped: bool = False) -> dict[str, Any]:
        """The state to resume from, which must have these parts; `mapped` tensors are read when they are used."""
        if self.resumed is None:
            raise ValueError(f"{self.folder} has no save")
        state = load_checkpoint(self.resumed.state, mapped=mapped)
        self.refuse_lacking(state, parts)
        return state

    def refuse_lacking(self, state: Any, parts: Iterable[str]) -> None:
        """Refuse a state, or a part of one, that lacks parts.

        Raises:
            RunError: it does.
        """
        lacks = [part for part in parts if not isinstance(state, Mapping) or part not in state]
        if lacks and self.resumed is not None:
            raise RunError(
                f"resume: {self.resumed.state} lacks {', '.join(lacks)}: it is not this program's; start a new run"
            )

    def write(self, state: Mapping[str, Any], beside: Iterable[Path] = (), *, step: int, epoch: int) -> None:
        """Write a save after `step` steps and `epoch` epochs; if that fails, warn: the saves before it are intact."""
        about = {"step": step, "epoch": epoch, "seconds": self.seconds(), "settings": self._settings}
        about["trackers"] = dict(self.trackers)
        try:
            self.written = self._store.write(state, beside, **about)
        except OSError as error:
            self.failed(step, error)
        else:
            self.every.begin(step)

    def failed(self, step: int, error: OSError) -> None:
        """Warn that a step is not saved, and try again when the next save is due."""
        self.every.begin(step)
        say(f"step {step:,} could not be saved ({error.strerror or error}); training goes on", "warning")

    def remove(self) -> None:
        """Remove all saves: the run has finished."""
        self._store.remove()

    @contextmanager
    def training(self, program: str, *, alone: bool = True) -> Iterator[None]:
        """Say where the run resumes and, if it is interrupted, how to resume it; `alone` is not part of a sweep."""
        if self.resumed is not None:
            epochs = counted(self.resumed.epoch, "complete epoch")
            print(f"resumed after step {self.resumed.step:,}, {epochs}", flush=True)
        self.every.begin(0 if self.resumed is None else self.resumed.step)
        try:
            yield
        except (KeyboardInterrupt, OSError):
            if self.written is not None and alone:
                words = command(program, [f"resume={self.folder}"])
                say(f"saved after step {self.written.step:,}; resume with: {words}", "note")
            raise


def _anew(folder: Path) -> str:
    """How to begin the run in a folder anew."""
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:
        return f"remove {folder / SAVES}, and the same command trains this job anew"
    return f"begin anew with: {command(str(job.job.config_name), [*own_configs(), *task_overrides()])}"


def _put_back(save: Save, folder: Path) -> None:
    """Restore the checkpoints beside a save as they were, and remove those written after it."""
    remove_leftovers(folder)
    (folder / ERROR).unlink(missing_ok=True)
    kept = {folder / place: save.folder / name for name, place in save.beside.items()}
    for path in folder.rglob("*.ckpt"):
        if path not in kept and save.folder.parent not in path.parents:
            path.unlink()
    for path, source in kept.items():
        with atomic(path) as temporary:
            shutil.copyfile(source, temporary)
