"""Find runs with the same settings, also in a sweep's folder."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regtorch.app.ground.errors import RunError
from regtorch.app.ground.folders import ASIDE
from regtorch.app.ground.reading import read_yaml_node
from regtorch.app.record.file_names import SUMMARY
from regtorch.app.record.json_file import NewerSchema, plain
from regtorch.app.record.later_settings import completed
from regtorch.app.record.run_record import RunRecord

__all__ = ["Known", "hydra_is", "identity", "known_in", "placeless", "same_run", "task_of"]

_IGNORED = ("debug", "resume", "save_every")  # change no result of a run


@dataclass
class Known:
    """The runs in a sweep's folder."""

    finished: dict[str, Path] = field(default_factory=dict)  # by settings
    begun: dict[str, Path] = field(default_factory=dict)  # by settings, not finished
    broken: set[Path] = field(default_factory=set)  # begun, with settings that cannot be read


def identity(config: DictConfig) -> str | None:
    """A text that is equal for equal settings, in any folder; None if they cannot be resolved."""
    try:
        return _text(OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException:  # the run itself reports it
        return None


def same_run(folder: Path, config: DictConfig) -> RunRecord | None:
    """The record of a finished run with the settings of `config` in a folder, or None.

    Raises:
        RunError: the folder holds a run with other settings, or a record of a newer regtorch.
    """
    record = _record(folder)
    if record is not None and _text(record.config) != identity(config):
        raise RunError(f"{folder} holds a run with other settings and is left unchanged; name another folder")
    return record


def known_in(sweep: Path) -> Known:
    """The runs in a sweep's folder."""
    known = Known()
    folders = {path.parent for name in (SUMMARY, ".hydra") for path in sweep.rglob(name)} - {sweep}
    for folder in sorted(folders, key=lambda f: (len(f.name), f.name)):
        if ASIDE in folder.name:
            continue
        record = _record(folder)
        settings = _begun(folder) if record is None else _text(record.config)
        if settings is None:
            known.broken.add(folder)
        else:
            (known.begun if record is None else known.finished).setdefault(settings, folder)
    return known


@contextmanager
def hydra_is(config: Any) -> Iterator[None]:
    """Resolve `${hydra:...}` from this config."""
    instance = HydraConfig.instance()
    before, instance.cfg = instance.cfg, config
    try:
        yield
    finally:
        instance.cfg = before


def _record(folder: Path) -> RunRecord | None:
    """The record of a finished run, if it can be read."""
    try:
        record = RunRecord.read(folder)
    except NewerSchema as error:  # must not be trained again
        raise RunError(str(error)) from error
    except ValueError:
        return None
    return record if record is not None and record.config else None


def _begun(folder: Path) -> str | None:
    try:
        config, hydra = (read_yaml_node(folder / ".hydra" / f"{name}.yaml") for name in ("config", "hydra"))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return None  # half-written
    if not isinstance(config, DictConfig) or not isinstance(hydra, DictConfig):
        return None
    with hydra_is(hydra):
        return identity(config)


def task_of(config: DictConfig) -> DictConfig:
    """A config without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def placeless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with paths relative to the run's folder."""
    return _without(settings, str(settings.get("out_dir")))


def _text(settings: Any) -> str:
    kept = {key: value for key, value in completed(settings).items() if key not in _IGNORED}
    return json.dumps(plain(placeless(kept)), sort_keys=True)


def _without(value: Any, folder: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(below, folder) for key, below in value.items()}
    if isinstance(value, list):
        return [_without(below, folder) for below in value]
    inside = isinstance(value, str) and (value == folder or value.startswith(f"{folder}/"))
    return f"<run>{value[len(folder) :]}" if inside else value
