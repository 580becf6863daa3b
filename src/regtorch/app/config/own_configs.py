"""Check a folder of configs, which may come from other people, before Hydra reads it.

Hydra calls what its own settings name (callbacks, handlers of logs, launchers) without asking anyone; the targets of a
run's parts are checked in `targets` when they are called.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from regtorch.app.ground.errors import RunError
from regtorch.app.ground.reading import read_own_yaml
from regtorch.app.record.overrides import parsed

__all__ = ["check_flags", "check_own_configs", "folders_of", "is_harmless"]

_HARMLESS = ("run", "sweep", "mode", "output_subdir")
_HARMLESS_OVERRIDE = re.compile(
    r"[+~]*hydra(\.(run|sweep|mode|verbose|output_subdir|job\.(num|name|chdir|config))\b|/launcher=\w+$"
    r"|\.launcher\.(n_jobs|nodes|name|partition|qos|account|constraint|array_parallelism|max_num_timeout|mem_gb"
    r"|(timeout_min|signal_delay_s)|(cpus_per_task|gpus_per_node|tasks_per_node|cpus_per_gpu|gpus_per_task))=[^$]*$)"
)
_PACKAGE = re.compile(r"^\s*#\s*@package\s+\S*\bhydra\b", re.MULTILINE)


def check_flags(given: Namespace) -> None:
    """Check what Hydra's parser read: the folders of configs of one's own, and no flag that replaces the program's.

    Raises:
        RunError: a flag is refused, or a config; the message names the flag or the file.
    """
    for name in ("config_name", "config_path", "experimental_rerun"):
        if (value := getattr(given, name)) is not None:
            flag = name.replace("_", "-")
            raise RunError(
                f"--{flag}={value}: the program has its own configs; omit it (--config-dir adds a folder of yours)"
            )
    if given.run and given.multirun:
        raise RunError("--run and --multirun: expected one of them, received both; omit --run for a sweep")
    if given.hydra_help and given.overrides:
        raise RunError(f"--hydra-help: expected no settings, received {given.overrides[0]}; give it alone")
    if given.config_dir is not None and not (given.config_dir and Path(given.config_dir).is_dir()):
        there = "a file" if given.config_dir and Path(given.config_dir).exists() else "none"
        raise RunError(f"--config-dir={given.config_dir}: expected a folder of configs, received {there}")
    if given.resolve and not (given.cfg or given.help):
        raise RunError("--resolve: expected --cfg, received none; give both: --cfg job --resolve")
    for folder in folders_of([given.config_dir or "", *_searched(given.overrides)]):
        check_own_configs(folder)


def folders_of(places: Iterable[str]) -> Iterator[Path]:
    """The folders that entries of a search path name: paths, `file://` paths and `pkg://` packages."""
    for place in filter(None, places):
        if place.startswith("pkg://"):
            package, _, below = place.removeprefix("pkg://").partition("/")
            with suppress(ImportError, ValueError):  # Hydra has the message for a package that is not there
                spec = find_spec(package)
                yield from (Path(root, below) for root in (spec and spec.submodule_search_locations) or ())
        elif "://" not in place or place.startswith("file://"):
            yield Path(place.removeprefix("file://"))


def _searched(overrides: Iterable[str]) -> Iterator[str]:
    """The entries of `hydra.searchpath=`."""
    for text in overrides:
        with suppress(ValueError):  # Hydra has the message
            override = parsed(text)
            if override.key_or_group == "hydra.searchpath":
                value: Any = override.value()
                yield from map(str, value if isinstance(value, list) else [value])


def check_own_configs(folder: Path) -> None:
    """Refuse configs that tell Hydra what to call, and those that expand beyond bounds.

    Raises:
        RunError: one does; the message names the file.
    """
    for file in sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml"))):
        try:
            text, tree = read_own_yaml(file)
        except ValueError as error:
            raise RunError(str(error)) from None
        wrong = next(_of_hydra(tree), None)
        if file.relative_to(folder).parts[0] == "hydra":
            wrong = "what is in the folder hydra"
        elif _PACKAGE.search(text):
            wrong = "its package"
        if wrong is not None:
            raise RunError(
                f"{file}: {wrong}: configs of one's own may set only {', '.join(_HARMLESS)} of hydra, as other "
                "settings of it call what they name; give them on the command line"
            )


def is_harmless(override: str) -> bool:
    """Whether an override that a folder of a run holds sets none of Hydra's settings that name what is called."""
    of_hydra = re.match(r"[+~]*(hydra\b|[^=]*@[^=]*\bhydra\b)", override) is not None
    named = override.startswith("-") or "_target_" in override
    return not named and (not of_hydra or _HARMLESS_OVERRIDE.match(override) is not None)


def _of_hydra(tree: Any) -> Iterator[str]:
    """The settings of Hydra in a config that are refused."""
    if isinstance(tree, list):
        for child in tree:
            if isinstance(child, str) and re.search(r"@\S*\bhydra\b", child):
                yield f"the default {child!r}"
            yield from _of_hydra(child)
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        if re.search(r"@\S*\bhydra\b", str(key)):
            yield f"the default {key!r}"
        elif key == "hydra":
            names = [str(name) for name in value] if isinstance(value, Mapping) else ["itself"]
            yield from (f"hydra.{name}" for name in names if name not in _HARMLESS)
        else:
            yield from _of_hydra(value)
