"""The saves of an unfinished run: folders written atomically and checked by checksums; the last two are kept."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from errno import ENOENT
from pathlib import Path, PurePosixPath
from typing import Any

from regtorch.app.ground.atomic import atomic
from regtorch.app.ground.checkpoint import check_checkpoint, save_checkpoint
from regtorch.app.ground.errors import say
from regtorch.app.ground.reading import opened, read_text
from regtorch.app.record.file_names import SAVE, SAVES

__all__ = ["Save", "Store", "checksum_of"]

SCHEMA = 1
_KEPT = 2
_NAME = re.compile(r"save-(\d{6,9})")
_RUN_ID = re.compile(r"[\w-]{1,128}")
_STATE, _MANIFEST = "state.ckpt", "manifest.json"
_CHUNK = 2**22  # bytes read at a time
_DEEPEST = 50  # levels of settings


@dataclass(frozen=True)
class Save:
    """An intact save."""

    folder: Path
    step: int  # optimizer steps taken
    epoch: int  # complete epochs
    seconds: float  # that the run has taken
    settings: Mapping[str, Any]  # the run's resolved config
    beside: Mapping[str, str]  # files kept with it, by name: their place in the run's folder
    trackers: Mapping[str, str] = field(default_factory=dict)  # the run's id at a tracker, by the name of the logger

    @property
    def state(self) -> Path:
        """The checkpoint."""
        return self.folder / _STATE


class Store:
    """The saves of a run.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.run, self.folder = folder, folder / SAVES

    def write(self, state: Mapping[str, Any], beside: Iterable[Path], **about: Any) -> Save:
        """Write a save, then remove all but the last two.

        Args:
            state: tensors and plain values.
            beside: checkpoints in the run's folder that belong to this step; they are copied.
            about: the step, epoch, seconds, settings and trackers.

        Raises:
            OSError: it cannot be written; the earlier saves stay.
        """
        if not self.run.is_dir():
            raise FileNotFoundError(ENOENT, f"{self.run} is no longer there")
        found = self._found()
        last = _NAME.fullmatch(found[0].name) if found else None
        target = self.folder / f"save-{int(last[1]) + 1 if last else 1:06d}"
        with atomic(target, folder=True) as temporary:
            save_checkpoint(dict(state), temporary / _STATE)
            places: dict[str, str] = {}
            for number, path in enumerate(beside):
                shutil.copyfile(path, temporary / f"{number}-{path.name}")
                places[f"{number}-{path.name}"] = path.relative_to(self.run).as_posix()
            sums = {name: _checksum(temporary / name) for name in (_STATE, *places)}
            manifest: dict[str, Any] = {"schema": SCHEMA, **about, "beside": places}
            manifest["sha256"] = {**sums, _MANIFEST: checksum_of(manifest)}
            (temporary / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for old in found[_KEPT - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
        return Save(target, **about, beside=places)

    def newest(self) -> Save | None:
        """The newest intact save, or None without any; warns about each broken one before it.

        Raises:
            ValueError: all are broken; the message says why.
        """
        broken: dict[Path, Exception] = {}
        for folder in self._found():
            try:
                save = _checked(folder)
            except (OSError, ValueError, RecursionError) as error:
                broken[folder] = error
                continue
            for other, error in broken.items():
                say(f"{other} is broken ({error}); the save before it is used", "warning")
            return save
        if broken:
            raise ValueError("; ".join(f"{folder} is broken ({error})" for folder, error in broken.items()))
        return None

    def settings(self) -> Mapping[str, Any] | None:
        """The run's settings, from the newest manifest that can be read; the checkpoints are not."""
        for folder in self._found():
            with suppress(OSError, ValueError, RecursionError):
                return _manifest_of(folder)[0]["settings"]
        return None

    def remove(self) -> None:
        """Remove all saves: the run has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        """The folders of the saves, newest first."""
        return sorted((p for p in self.run.glob(SAVE) if _NAME.fullmatch(p.name)), reverse=True)


def _checked(folder: Path) -> Save:
    """A save whose files match their checksums.

    Raises:
        OSError, ValueError: a file is missing or damaged, or of a newer schema.
    """
    manifest, sums = _manifest_of(folder)
    for name, expected in sums.items():
        if _checksum(folder / name) != expected:
            raise ValueError(f"{name} does not match its checksum")
        check_checkpoint(folder / name)
    return Save(folder, **manifest)


def _manifest_of(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a manifest says about its save, and the checksums of the files.

    Raises:
        OSError, ValueError: it is missing or damaged, or of a newer schema.
    """
    manifest = json.loads(read_text(folder / _MANIFEST, 2**20))
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ValueError(f"{_MANIFEST}: expected schema {SCHEMA}")
    sums = manifest.pop("sha256", None)
    if not isinstance(sums, dict) or sums.pop(_MANIFEST, None) != checksum_of(manifest):
        raise ValueError(f"{_MANIFEST} does not match its own checksum")
    del manifest["schema"]
    manifest.setdefault("trackers", {})  # earlier saves have none
    kinds = {"step": int, "epoch": int, "seconds": float, "settings": dict, "beside": dict, "trackers": dict}
    if manifest.keys() != kinds.keys() or any(type(manifest[name]) is not kind for name, kind in kinds.items()):
        raise ValueError(f"{_MANIFEST}: expected {', '.join(kinds)}")
    names = {_STATE, *manifest["beside"]}
    if sums.keys() != names or any(Path(name).name != name for name in names):
        raise ValueError(f"{_MANIFEST}: expected a checksum of each file")
    counted = manifest["step"], manifest["epoch"], manifest["seconds"]
    if not all(0 <= value < math.inf for value in counted):
        raise ValueError(f"{_MANIFEST}: expected step, epoch and seconds of at least 0, received {counted}")
    if _depth(manifest["settings"]) > _DEEPEST:
        raise ValueError(f"{_MANIFEST}: expected settings at most {_DEEPEST} levels deep")
    if not all(isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) for run_id in manifest["trackers"].values()):
        raise ValueError(f"{_MANIFEST}: expected ids of a tracker's runs, received {manifest['trackers']}")
    run = folder.parent.parent
    for place in manifest["beside"].values():
        if not isinstance(place, str) or not _is_checkpoint_of(run, place):
            raise ValueError(f"{_MANIFEST}: expected places of checkpoints in the run's folder, received {place!r}")
    return manifest, sums


def _is_checkpoint_of(run: Path, place: str) -> bool:
    """Whether a place is a checkpoint's in the run's folder, also when links are followed."""
    path = PurePosixPath(place)
    inside = not path.is_absolute() and ".." not in path.parts and path.suffix == ".ckpt"
    return inside and (run / path).parent.resolve().is_relative_to(run.resolve())


def _depth(tree: Any) -> int:
    """The levels of lists and mappings."""
    level, depth = [tree], 0
    while level := [node for node in level if isinstance(node, dict | list)]:
        depth += 1
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """The checksum of a manifest without its checksums."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()
