"""What a config may name by `_target_`, parts of a run and functions that return them, and the arguments it may pass.

Configs may come from other people. Targets are checked before they are called, so that no config can call `torch.load`
or `os.system`; a user's class is allowed if it is one of these kinds.
"""

import datetime
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any, get_type_hints

import torch
from hydra._internal.utils import _locate
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment, Precision
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from regtorch.app.config.annotations import hints_of, kind_of, parameters_of
from regtorch.app.config.kinds import NULL, OBJECT, SWITCH, Kind, shown
from regtorch.app.config.known import ARGUMENTS, GIVEN
from regtorch.app.config.unknown_keys import in_file
from regtorch.app.ground.errors import RunError, nearest, one_line
from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty

__all__ = ["check_call", "check_targets", "located"]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "model": (nn.Module,),
    "optimizer": (Optimizer,),
    "callbacks": (Callback,),
    "logger": (Logger,),
    "trainer": (Trainer,),
    "data": (LightningDataModule,),
    "reg": (Penalty, Activity, OutputRule),
    "constraint": (Constraint,),
}
_PARTS = (
    *(kind for kinds in _KINDS.values() for kind in kinds),
    *(LRScheduler, Strategy, Accelerator, Precision, LayerSync, CheckpointIO, ClusterEnvironment, Profiler),
    *(torch.device, datetime.timedelta),
)
_CHANGES_IMAGES = ("augment", "transform", "transforms")
_NEVER = (sys.stdlib_module_names | {"hydra", "omegaconf", "builtins"}) - {"datetime"}
_HYDRAS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def check_targets(config: Any, key: str) -> list[str]:
    """All targets of a node; refuses what is not a part of a run, before it is called and, if possible, imported."""
    found = []
    for place, target in _targets(config, key):
        kinds = _KINDS.get(key.partition(".")[0], _PARTS) if place == key else _PARTS
        if not isinstance(target, str):
            raise _refusal(place, kinds, repr(target))
        if target == "???":  # Hydra has the better message
            continue
        if target.partition(".")[0] in _NEVER and not target.startswith("datetime.timedelta"):
            raise _refusal(place, kinds, target)
        if not _is_of(located(target, place), kinds, place):
            raise _refusal(place, kinds, target)
        found.append(target)
    return found


def located(target: str, key: str) -> Any:
    """Import what a full name refers to."""
    try:
        return _locate(target)
    except (ImportError, ValueError) as error:
        raise RunError(
            f"{key}._target_: expected a class by its full name, such as torch.nn.Linear, received {target!r}: "
            f"{one_line(error)}"
        ) from error


def _targets(config: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` of a config, with the key of its node."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, config["_target_"]
        for name, value in config.items():
            yield from _targets(value, f"{key}.{name}".lstrip("."))
    elif isinstance(config, Sequence) and not isinstance(config, str | bytes):
        for at, value in enumerate(config):
            yield from _targets(value, f"{key}[{at}]")


def _is_of(thing: Any, kinds: tuple[type, ...], key: str) -> bool:
    if isinstance(thing, type):
        called = key.rpartition(".")[2].partition("[")[0] in _CHANGES_IMAGES and "__call__" in dir(thing)
        return issubclass(thing, kinds) or called
    if not inspect.isfunction(thing):
        return False
    try:
        returned = get_type_hints(thing).get("return")
    except Exception:  # a name imported for type checkers only
        return False
    return isinstance(returned, type) and issubclass(returned, kinds)


def _refusal(key: str, kinds: tuple[type, ...], received: str) -> RunError:
    named = f"{key}._target_" if key else "_target_"
    some = " or ".join(f"{kind.__module__.partition('.')[0]}'s {kind.__name__}" for kind in kinds)
    expected = "a part of a run, such as a torch.nn.Module" if kinds is _PARTS else f"a subclass of {some}"
    return RunError(
        f"{named}: expected {expected}, or a function annotated to return one, received {received}; nothing was called"
    )


def check_call(key: str, node: Any, *, partial: bool | None = None) -> None:
    """Refuse unknown, missing and invalid arguments of a node's `_target_`; `partial` is what `_partial_` must be."""
    is_partial = node.get("_partial_", False)
    SWITCH.check(f"{key}._partial_", is_partial)
    if partial is not None and is_partial != partial:
        raise RunError(f"{key}._partial_: expected {shown(partial)}, received {shown(is_partial)}")
    target = located(node["_target_"], key)
    parameters, hints = parameters_of(target), hints_of(target)
    for name, value in node.items():
        if name not in _HYDRAS:
            _check_argument(key, name, value, target, parameters, hints.get(name))
            for inner, call in _calls(f"{key}.{name}", value):
                check_call(inner, call)
    if not is_partial and "_args_" not in node:
        for name, parameter in parameters.items():
            required = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
            if required and parameter.default is Parameter.empty and name not in node:
                raise RunError(f"{key}.{name}: expected a value, received none; give +{key}.{name}=...")


def _check_argument(
    key: str, name: str, value: Any, target: Callable[..., Any], parameters: Mapping[str, Parameter], hint: Any
) -> None:
    given = _of(GIVEN, target, name)
    if given is not None:
        raise RunError(f"{key}.{name}: the program sets this argument; {given}")
    if name not in parameters:
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
            where = in_file(f"{key}.{name}")
            raise RunError(f"{key}.{name}: {_name(target)} has no such argument{where}{_others(parameters, name)}")
    elif not OBJECT.fits(value):  # the result of a call is checked when it is called
        kind = _of(ARGUMENTS, target, name) or _annotated(hint, parameters[name].default)
        if kind is not None:
            kind.check(f"{key}.{name}", value)


def _annotated(hint: Any, default: Any) -> Kind | None:
    """The kind that an annotation allows; None is also allowed if it is the default."""
    kind = kind_of(hint) if hint is not None else None
    if kind is None or default is not None:
        return kind
    return kind | NULL


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", repr(target))


def _of(table: Mapping[str, Any], target: Callable[..., Any], name: str) -> Any:
    """The table entry of an argument, under its class, a base class, or its package."""
    classes = [cls.__name__ for cls in getattr(target, "__mro__", ())]
    parts = str(getattr(target, "__module__", "")).split(".")
    packages = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((table[key] for owner in [*classes, *packages] if (key := f"{owner}.{name}") in table), None)


def _others(parameters: Mapping[str, Parameter], name: str) -> str:
    return nearest(name, parameters) or f"; it has {', '.join(parameters) or 'none'}"


def _calls(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The calls inside a value, each with its key."""
    if OBJECT.fits(value):
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _calls(f"{key}.{name}", part)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for at, part in enumerate(value):
            yield from _calls(f"{key}[{at}]", part)
