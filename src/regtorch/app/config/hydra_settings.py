"""Check Hydra's own settings on a command line: Hydra takes nearly anything there, and most has no effect."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.types import Override

from regtorch.app.config.command_line import is_multirun
from regtorch.app.config.kinds import NULL, OBJECT, SWITCH, TEXT, Kind, choice, count, number, several
from regtorch.app.config.own_configs import folders_of
from regtorch.app.ground.errors import RunError, nearest
from regtorch.app.ground.folders import is_follower
from regtorch.app.record.overrides import parsed

__all__ = ["check_hydra"]


def _is_logger(value: Any) -> bool:
    """Whether a name is that of a logger, or of a module that may have one."""
    top = value.partition(".")[0] if isinstance(value, str) else ""
    known = top.isidentifier() and (top in sys.modules or find_spec(top) is not None)
    return known or (top != "" and value in logging.root.manager.loggerDict)


def _is_searched(value: Any) -> bool:
    return isinstance(value, str) and any(folder.is_dir() for folder in folders_of([value]))


def _is_size(value: Any) -> bool:
    return isinstance(value, str) and value[-1:] in ("K", "M", "G") and value[:-1].isdecimal()


_NAME = Kind(lambda value: isinstance(value, str) and value.strip() != "", ("text",))
_FOLDER = Kind(TEXT.fits, ("the name of a folder",)) | Kind(number().fits, ())
_LOGGER = Kind(_is_logger, ("the name of a logger, such as lightning.pytorch",))
_VARIABLE = Kind(lambda value: isinstance(value, str) and value in os.environ, ("a variable of the environment",))
_SEARCHED = Kind(_is_searched, ("a folder, or pkg://PACKAGE/FOLDER, that is there",))
_SIZE = Kind(_is_size, ("a size such as 500K, 10M or 1G",))
_AHEAD = Kind(
    lambda value: re.fullmatch(r"all|\d+|(\d+\*)?n_jobs", str(value)) is not None,
    ("a number of jobs", "2*n_jobs", "all"),
)

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("run.dir", "sweep.dir", "sweep.subdir"), _FOLDER),
    "mode": choice("RUN", "MULTIRUN"),
    "output_subdir": TEXT | NULL,
    "searchpath": several(_SEARCHED),
    "verbose": SWITCH | _LOGGER | several(_LOGGER),
    "job.name": _NAME,
    "job.chdir": SWITCH | NULL,
    "job.env_copy": several(_VARIABLE),
    "job.config.override_dirname.kv_sep": TEXT,
    "job.config.override_dirname.item_sep": TEXT,
    "job.config.override_dirname.exclude_keys": several(TEXT),
    "sweeper.max_batch_size": count(1) | NULL,
    "sweeper.params": Kind(lambda value: isinstance(value, Mapping | None), ("values by key", "null")),
    "launcher.n_jobs": replace(count(1) | choice(-1), names=("a whole number of at least 1", "-1 for all cores")),
    "launcher.backend": choice("loky") | NULL,
    "launcher.prefer": choice("processes"),
    "launcher.require": NULL,
    "launcher.timeout": number(0, above=True) | NULL,
    "launcher.pre_dispatch": _AHEAD,
    "launcher.batch_size": count(1) | choice("auto"),
    "launcher.max_nbytes": count(0) | _SIZE | NULL,
    "launcher.mmap_mode": choice("r", "r+", "w+", "c") | NULL,
}
"""Settings that have an effect, with their values."""

_OF_OBJECTS = ("sweeper.", "launcher.", "callbacks.", "job_logging.", "hydra_logging.", "job.env_set.")
"""Where the keys are those of classes, loggers or the environment."""
_OF_SWEEPS = ("sweep.", "sweeper", "launcher")


def check_hydra(arguments: Sequence[str], program: str) -> None:
    """Refuse settings of Hydra that have no effect, and values that they cannot have.

    Args:
        arguments: of the command line, as they were given.
        program: the one that runs.

    Raises:
        RunError: the setting, what was expected, what was received, and what to do.
    """
    if is_follower():  # Lightning starts it, with settings of its own
        return
    given = [*_of_hydra(arguments)]
    for key, override in given:
        _check(key, override)
    keys = dict(given)
    verbose, logs = keys.get("verbose"), keys.get("job_logging")
    if verbose is not None and verbose.value() and (logs is None or logs.value() in ("none", "disabled")):
        raise RunError(f"{verbose.input_line} needs a log to write to; add hydra/job_logging=default")
    if any(text.startswith(("resume=", "rerun=")) for text in arguments):
        return  # the folder says whether it is a sweep
    mode = keys.get("mode")
    sweep = is_multirun(arguments) or (mode is not None and mode.value() == "MULTIRUN")
    for key, override in given:
        if key.startswith(_OF_SWEEPS) and not sweep:
            way = "add -m, or omit it" if program == "train" else "omit it"
            raise RunError(f"{override.input_line} is for a sweep, and this is none; {way}")
        if sweep and (key == "run.dir" or (key == "mode" and override.value() == "RUN")):
            raise RunError(f"{override.input_line} is for a single run, and this is a sweep; omit it")


def _of_hydra(arguments: Sequence[str]) -> Iterator[tuple[str, Override]]:
    """The overrides of Hydra's settings by their keys."""
    for text in arguments:
        with suppress(ValueError):  # Hydra has the message
            override = parsed(text)
            top, _, key = override.key_or_group.replace("/", ".").partition(".")
            if top == "hydra":
                yield key, override


def _check(key: str, override: Override) -> None:
    if "/" in override.key_or_group:  # an option of a group: Hydra checks it
        return
    given, name = override.input_line, f"hydra.{key}".rstrip(".")
    if key.startswith("callbacks.folders"):
        raise RunError(f"{given}: the program needs it, to protect the folders of other runs; omit it")
    if key in ("launcher", "sweeper"):
        raise RunError(f"{given}: expected an option of the group; write hydra/{key}=")
    if key not in _KINDS and not key.startswith(_OF_OBJECTS):
        near = nearest(name, [f"hydra.{known}" for known in _KINDS])
        raise RunError(f"{given}: it has no effect here, or Hydra itself sets it; omit it{near}")
    if override.is_delete():
        if key in _KINDS:
            raise RunError(f"{given}: Hydra needs this setting; omit it")
        return
    value: Any = override.value()
    if override.is_sweep_override() or (isinstance(value, str) and "${" in value):
        return
    if key in _KINDS:
        _KINDS[key].check(name, value)
    elif key.startswith("callbacks.") and key.count(".") == 1:
        OBJECT.check(name, value)
