"""Validation of the command line, and its overrides."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from regtorch.app.config.kinds import shown
from regtorch.app.config.known import GROUPS, SETTINGS
from regtorch.app.config.one_experiment import check_experiment
from regtorch.app.config.sweep_values import check_sweep
from regtorch.app.ground.errors import OPEN, RunError, nearest, say
from regtorch.app.record.overrides import parsed, quoted

__all__ = [
    "check_groups",
    "check_new_keys",
    "is_multirun",
    "multirun_first",
    "note_repeated",
    "own_configs",
    "own_sources",
    "several_values",
    "shown_in_full",
    "task_overrides",
]

_MULTIRUN = {"-m", "--multirun"}
_PLAIN = re.compile(r"[\w:/.-]+")  # needs no quotes in an override
_SEVERAL_VALUES = re.compile(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'(?:\n| requires --multirun)")
_SEVERAL = ("callbacks", "logger")  # groups that accept several options
_PLACES = {"reg": ("constraint", "constraint"), "constraint": ("penalty", "reg")}  # what the other one is
_OWN = ("--config-dir", "-cd", "hydra.searchpath=")  # where options of one's own may be


def multirun_first(arguments: Iterable[str]) -> list[str]:
    """Put `-m` first: Hydra's parser takes it before or after all overrides, not among them."""
    return sorted(arguments, key=lambda argument: argument not in _MULTIRUN)


def is_multirun(arguments: Iterable[str]) -> bool:
    """Whether a command line asks for a sweep."""
    return not _MULTIRUN.isdisjoint(arguments)


def check_groups(arguments: Sequence[str], conf: Path) -> None:
    """Refuse groups that are removed or not set to one of their options, and values that no sweep can run.

    Hydra reports what it cannot parse.
    """
    overrides = [*_parsed(arguments)]
    for override in overrides:
        group = override.key_or_group
        if not group:
            raise RunError(f"cannot read {override.input_line!r}: expected group=option or key=value")
        if group not in (*GROUPS, "experiment"):
            continue
        if override.is_add() or override.package is not None:
            plain = f"{group}={override.get_value_string()}"
            raise RunError(f"{override.input_line}: a run has one {group}, in its own place; write {plain}")
        example = GROUPS.get(group, "rps")
        if override.is_delete() and group in GROUPS:
            raise RunError(f"~{group}: a run needs this group; choose one of its options, such as {group}={example}")
        values: Any = override.value()
        own = any(text.startswith(_OWN) for text in arguments)
        for value in values.list if isinstance(values, ChoiceSweep) else [values]:
            _check_choice(group, value, example)
            if isinstance(value, list) and not own:
                _check_list(group, value, conf)
            elif isinstance(value, str) and not own:
                _check_place(group, value, conf)
    check_experiment([(override.key_or_group, override.value()) for override in overrides], conf)
    if is_multirun(arguments):
        check_sweep(overrides)


def note_repeated(arguments: Sequence[str]) -> None:
    """Say which value is used of a key or group that is given several: the last one, as Hydra does."""
    given: dict[str, Override] = {}
    for override in _parsed(arguments):
        before = given.get(key := override.get_key_element().lstrip("+~"))
        if before is not None and not override.is_delete() and before.value() != override.value():
            say(f"{key} is given twice; {override.input_line} is used, {before.input_line} is not", "note")
        given[key] = override


def shown_in_full(arguments: Sequence[str]) -> list[str]:
    """The arguments, for `--cfg` with a word for the folder, which only a job has."""
    shows = any(re.match(r"(--cfg|-c)(=|$)", argument) for argument in arguments)
    named = any(re.match(r"\+*out_dir=", argument) for argument in arguments)
    if named or not shows:
        return [*arguments]
    at = next((at for at, text in enumerate(arguments) if "=" in text and not text.startswith("-")), 0)
    return [*arguments[:at], "out_dir=FOLDER", *arguments[at:]]  # beside the others, as argparse requires


def several_values(error: BaseException, program: str) -> str | None:
    """The message of a key with several values where `program` takes one, or None for other errors."""
    found = _SEVERAL_VALUES.match(str(error)) if isinstance(error, ConfigCompositionException) else None
    if found is None:
        return None
    key, _, values = found[1].partition("=")
    values = values.removeprefix("choice:")
    values = values[7:-1] if values.startswith("choice(") else values
    way = "add -m to run them one after another" if program == "train" else "give one"
    if key not in GROUPS and "(" not in values:
        way += f"; if a list is meant, write {key}=[{values}]"
    return f"{found[1]}: expected one value, received several; {way}"


def check_new_keys(overrides: Iterable[str]) -> None:
    """Refuse a `+key=value` that would have no effect."""
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        argument = key.startswith(tuple(f"{above}." for above in (*OPEN, "hydra", "callbacks", "logger")))
        known = override.startswith("++") and key in SETTINGS
        if override.startswith("+") and not (argument or known or key.startswith("hydra/")):
            raise RunError(f"{override}: a new key has no effect here; omit the + to list the known keys")


def _check_choice(group: str, value: Any, example: str) -> None:
    if isinstance(value, str) and (value.startswith("/") or ".." in value.split("/")):
        raise RunError(
            f"{group}: expected the name of an option, such as {group}={example}, received {value!r}; "
            "--config-dir=FOLDER adds options of your own"
        )
    if isinstance(value, str | dict | Glob):
        return  # an option, settings beside the option's own, or all options of a pattern
    if isinstance(value, list) and value and group in _SEVERAL:
        _check_together(group, value)
        return
    both = "; for both penalties at once choose reg=l1l2" if group == "reg" and isinstance(value, list) else ""
    raise RunError(f"{group}: expected one option, such as {group}={example}, received {_written(value)}{both}")


def _check_place(group: str, option: str, conf: Path) -> None:
    """Refuse a constraint as a penalty, and a penalty as a constraint."""
    kind, place = _PLACES.get(group, ("", ""))
    if place and (conf / place / f"{option}.yaml").is_file() and not (conf / group / f"{option}.yaml").is_file():
        raise RunError(f"{group}: {option} is a {kind}; write {place}={option}")


def _check_together(group: str, options: list[Any]) -> None:
    twice = next((option for option in options if options.count(option) > 1), None)
    if twice is not None:
        raise RunError(f"{group}: {twice} is given twice in {_written(options)}; give it once")
    if len(options) > 1 and "none" in options:
        raise RunError(f"{group}: expected none alone or other options, received {_written(options)}")


def _check_list(group: str, options: list[Any], conf: Path) -> None:
    """Refuse an option of a list that the program's configs lack; Hydra would not say which there are."""
    known = sorted(path.stem for path in (conf / group).glob("*.yaml"))
    unknown = next((option for option in options if option not in known), None)
    if unknown is not None:
        raise RunError(
            f"{group}: expected some of {', '.join(known)}, received {shown(unknown)}{nearest(unknown, known)}"
        )


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else shown(value)


def _parsed(arguments: Iterable[str]) -> Iterator[Override]:
    for argument in arguments:
        if not argument.startswith("-"):
            with suppress(ValueError):
                yield parsed(argument)


def task_overrides() -> list[str]:
    """The overrides of the running job as written, interpolations unresolved."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return overrides


def own_sources() -> list[str]:
    """The user's own config folders (`--config-dir`, `hydra.searchpath=`), as entries of a search path."""
    return [
        f"{source.schema}://{source.path}"
        for source in HydraConfig.get().runtime.config_sources
        if source.provider == "command-line" or source.provider.startswith("hydra.searchpath")
    ]


def own_configs() -> list[str]:
    """The override for the user's own config folders, which commands built from `task_overrides` need."""
    if not HydraConfig.initialized():
        return []
    folders = ",".join(source if _PLAIN.fullmatch(source) else quoted(source) for source in own_sources())
    return [f"hydra.searchpath=[{folders}]"] if folders else []
