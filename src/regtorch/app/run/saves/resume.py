"""Resume a run from its newest save: check that the settings agree, and put its files back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regtorch.app.ground.atomic import atomic, remove_leftovers
from regtorch.app.ground.errors import RunError, say
from regtorch.app.record.command import command
from regtorch.app.record.json_file import plain
from regtorch.app.record.same_settings import placeless
from regtorch.app.run.saves.every import Every
from regtorch.app.run.saves.saver import Saver
from regtorch.app.run.saves.store import Save, Store, link

__all__ = ["resumable", "saver_of"]

_MAY_DIFFER = (
    *("resume", "save_every", "out_dir", "debug", "doctor", "callbacks.progress", "trainer.profiler"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.min_epochs", "trainer.min_steps"),
    *("trainer.enable_progress_bar", "trainer.default_root_dir"),
)
"""Settings that a resumed run may change: they decide when it ends, or what it shows."""


def saver_of(cfg: DictConfig, folder: Path) -> Saver:
    """The saver of a run, which resumes it if the folder holds a save.

    Raises:
        RunError: `save_every` is wrong, or the run in the folder has other settings.
    """
    every, store = Every.parsed(cfg.save_every), Store(folder)
    settings: Any = plain(OmegaConf.to_container(cfg, resolve=True))
    save = store.newest()
    if save is not None:
        _check(save.settings, settings, folder)
        _put_back(save, folder)
    return Saver(store, every, settings, save)


@contextmanager
def resumable(saver: Saver, folder: Path, *, alone: bool) -> Iterator[None]:
    """Say where a run resumes and, when it is interrupted, how to resume it; `alone` is not part of a sweep."""
    if (save := saver.resumed) is not None:
        print(f"resumed after step {save.step:,}, {save.epoch} complete epochs", flush=True)
    try:
        yield
    except KeyboardInterrupt:
        if saver.saved is not None and alone:
            words = command("train", [f"resume={folder}"])
            say(f"saved after step {saver.saved.step:,}; resume with: {words}", "note")
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
    kept = {folder / place: save.folder / name for name, place in save.beside.items()}
    for path in folder.rglob("*.ckpt"):
        if path not in kept and save.folder.parent not in path.parents:
            path.unlink()
    for path, source in kept.items():
        if not (path.exists() and path.samefile(source)):  # a rename onto itself would leave the temporary file
            with atomic(path) as temporary:
                temporary.unlink()
                link(source, temporary)
