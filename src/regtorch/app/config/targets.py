"""What a config may name by `_target_`: classes that are parts of a run, and functions that return them.

Configs may come from other people. Targets are checked before they are called, so that no config can call `torch.load`
or `os.system`; a user's class is allowed if it is one of these kinds.
"""

import datetime
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
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

from regtorch.app.ground.errors import RunError, one_line
from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty

__all__ = ["check_targets", "located"]

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
    except ImportError as error:
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
