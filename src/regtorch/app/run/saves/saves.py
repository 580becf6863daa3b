"""The saves of a run: when they are due, whether their settings agree, and how the run resumes from the newest."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regtorch.app.ground.atomic import atomic, remove_leftovers
from regtorch.app.ground.checkpoint import load_checkpoint
from regtorch.app.ground.errors import RunError, say
from regtorch.app.record.command import command
from regtorch.app.record.file_names import ERROR
from regtorch.app.record.json_file import plain
from regtorch.app.record.same_settings import placeless
from regtorch.app.run.saves.every import Every
from regtorch.app.run.saves.store import Save, Store

__all__ = ["Saves"]

_MAY_DIFFER = (
    *("resume", "save_every", "out_dir", "debug", "doctor", "callbacks.progress", "trainer.profiler"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.min_epochs", "trainer.min_steps"),
    *("trainer.enable_progress_bar", "trainer.default_root_dir"),
)
"""Settings that a resumed run may change: they decide when it ends, or what it shows."""


class Saves:
    """The saves of the run in `folder`.

    Attributes:
        every: when the next one is due.
        resumed: the save that the run resumes from, or None.
        written: the last one written by this process.

    Raises:
        RunError: `save_every` is wrong, or the run in the folder has other settings.
    """

    def __init__(self, cfg: DictConfig, folder: Path) -> None:
        self.folder, self.every = folder, Every.parsed(cfg.save_every)
        self._store = Store(folder)
        self._settings: Any = plain(OmegaConf.to_container(cfg, resolve=True))
        self.written: Save | None = None
        self.resumed = self._store.newest()
        if self.resumed is not None:
            _check(self.resumed.settings, self._settings, folder)
            _put_back(self.resumed, folder)
        self._began = perf_counter() - (0.0 if self.resumed is None else self.resumed.seconds)

    def seconds(self) -> float:
        """Seconds that the run has taken, those before an interruption included."""
        return perf_counter() - self._began

    def load(self, *parts: str) -> dict[str, Any]:
        """The state to resume from, which must have these parts; only tensors and plain values are loaded."""
        if self.resumed is None:
            raise ValueError(f"{self.folder} has no save")
        state = load_checkpoint(self.resumed.state)
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
        self.every.begin(step)
        about = {"step": step, "epoch": epoch, "seconds": self.seconds(), "settings": self._settings}
        try:
            self.written = self._store.write(state, beside, **about)
        except OSError as error:
            say(f"step {step:,} could not be saved ({error.strerror or error}); training goes on", "warning")

    def remove(self) -> None:
        """Remove all saves: the run has finished."""
        self._store.remove()

    @contextmanager
    def training(self, program: str, *, alone: bool = True) -> Iterator[None]:
        """Say where the run resumes and, if it is interrupted, how to resume it; `alone` is not part of a sweep."""
        if self.resumed is not None:
            print(f"resumed after step {self.resumed.step:,}, {self.resumed.epoch} complete epochs", flush=True)
        self.every.begin(0 if self.resumed is None else self.resumed.step)
        try:
            yield
        except KeyboardInterrupt:
            if self.written is not None and alone:
                words = command(program, [f"resume={self.folder}"])
                say(f"saved after step {self.written.step:,}; resume with: {words}", "note")
            raise


def _check(saved: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume a run with other settings."""
    before, now = (dict(_flat(placeless(tree))) for tree in (saved, settings))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and not _may_differ(name)]
    if names:
        changes = ", ".join(f"{name}={before.get(name)}, now {now.get(name)}" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise RunError(
            f"resume: the run in {folder} began with {changes}{more}; leave these settings out, or start a new run"
        )


def _may_differ(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in _MAY_DIFFER)


def _flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, below in tree.items():
            yield from _flat(below, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree


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
