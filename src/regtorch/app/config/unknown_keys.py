"""Refuse keys that nothing reads, which configs of one's own may have: Hydra refuses them on the command line alone."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.command_line import own_sources
from regtorch.app.config.known import GROUPS, OPTIONAL, SETTINGS
from regtorch.app.config.own_configs import folders_of
from regtorch.app.ground.errors import RunError, unknown_key
from regtorch.app.ground.reading import read_own_yaml, read_yaml
from regtorch.app.record.command import configs

__all__ = ["check_keys", "in_file"]

Place = tuple[str, ...]
_PARTS = {"model": "net", "reg": "penalty", "constraint": "projection"}
"""The groups of settings, each with its object; the keys of other groups are arguments, which `targets` checks."""
_MEMBERS = ("callbacks", "logger")
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)


def check_keys(cfg: DictConfig, choices: Mapping[str, str]) -> None:
    """Refuse keys that neither the program nor another setting reads.

    Raises:
        RunError: there is one; the message names it, its file and the nearest known key.
    """
    plain: Any = OmegaConf.to_container(cfg)
    read = [*_references(plain)]
    for place, node, known in _nodes(plain, choices):
        for name in node:
            here = (*place, str(name))
            if name not in known and not any(here == other[: len(here)] or other == place for other in read):
                raise RunError(_message(here, known, plain))


def in_file(key: str) -> str:
    """' (in FILE)', the config of one's own that sets a key, or ''."""
    file = _file_of(tuple(key.split(".")))
    return "" if file is None else f" (in {file})"


def _nodes(plain: Mapping[str, Any], choices: Mapping[str, str]) -> Iterator[tuple[Place, Any, Collection[str]]]:
    """The nodes whose keys are known, each with its place and these keys."""
    own = {re.split(r"[/.]", group.rpartition("@")[2])[0] for group in choices} - {"hydra", "experiment"}
    programs = _of_programs()
    top = {key for key in SETTINGS if "." not in key}
    yield (), plain, [*GROUPS, *sorted(top), *(key for key in programs if key not in top), *sorted(own - {*GROUPS})]
    for group, part in _PARTS.items():
        keys = [key for key in SETTINGS if key.startswith(f"{group}.") and key not in OPTIONAL]
        names = [*(key.removeprefix(f"{group}.") for key in keys), part, *_of_option(group, choices.get(group))]
        yield (group,), plain.get(group) or {}, dict.fromkeys(names)
    for group in _MEMBERS:
        node = plain.get(group) or {}
        objects = [name for name, member in node.items() if isinstance(member, Mapping) and "_target_" in member]
        yield (group,), node, dict.fromkeys([*_members(group), *objects])
    for name, keys in programs.items():
        if isinstance(keys, Mapping) and isinstance(plain.get(name), Mapping):
            yield (name,), plain[name], keys


@cache
def _of_programs() -> Mapping[str, Any]:
    """The settings that programs have on their own, such as `path` and `search`."""
    found: dict[str, Any] = {}
    for file in configs().glob("*.yaml"):
        found |= read_yaml(file)
    return {key: value for key, value in found.items() if key not in ("defaults", "hydra")}


@cache
def _of_option(group: str, option: str | None) -> Sequence[str]:
    """The keys of an option of the program: one may be left unread when what refers to it gets a value."""
    file = configs() / group / f"{option}.yaml"
    return [*read_yaml(file)] if file.is_file() else []


@cache
def _members(group: str) -> Sequence[str]:
    """The callbacks or loggers of the program: an experiment may set one that another choice removed."""
    names = [name for file in sorted((configs() / group).glob("*.yaml")) for name in read_yaml(file)]
    return [name for name in dict.fromkeys(names) if name != "defaults"]


def _references(node: Any, place: Place = ()) -> Iterator[Place]:
    """The places that interpolations refer to."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _references(value, (*place, str(name)))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _references(value, (*place, str(at)))
    elif isinstance(node, str):
        for text in _REFERENCE.findall(node):
            _, resolver, arguments = text.partition(":")
            for key in (word.strip() for word in (arguments.split(",") if resolver else [text])):
                dots = len(key) - len(key.lstrip("."))
                names = tuple(re.findall(r"[^.\[\]]+", key))
                yield (*place[:-dots], *names) if dots else names


def _message(place: Place, known: Collection[str], plain: Mapping[str, Any]) -> str:
    key = ".".join(place)
    if key == "experiment":
        hint = "its keys are those of a run only if its first line is '# @package _global_'"
        return f"{key}: expected the name of an experiment, received settings{in_file(key)}; {hint}"
    return unknown_key(key, known, plain, in_file(key))


def _file_of(place: Place) -> Path | None:
    """The config of one's own that sets the key at a place: a chosen one, if several do."""
    if not HydraConfig.initialized():
        return None
    choices = HydraConfig.get().runtime.choices
    found: dict[Path, bool] = {}
    for folder in folders_of(own_sources()):
        for file in sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml"))):
            group = file.relative_to(folder).parent.as_posix()
            text, tree = read_own_yaml(file)
            package = _PACKAGE.search(text)
            above = group.replace("/", ".") if package is None else package[1]
            if _has(tree, place, tuple(name for name in above.split(".") if name != "_global_")):
                found[file] = choices.get(group) == file.stem
    return max(found, key=lambda file: found[file], default=None)


def _has(tree: Any, place: Place, above: Place) -> bool:
    """Whether the content of a file that is put at `above` sets the key at `place`."""
    if above[: len(place)] == place:
        return True
    if place[: len(above)] != above:
        return False
    for name in place[len(above) :]:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True
