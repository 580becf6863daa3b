"""What a config may name by `_target_`: classes of the kinds that a run is made of, and functions that return them.

A config is data, that of somebody else perhaps. What it names is looked at before it is called, so that none calls
`torch.load`, `os.system` or the like; a class of one's own is fine where it is one of these kinds.
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
    """Refuse what is no part of a run, before anything is called, and what cannot be one before it is imported.

    Args:
        config: a node, as plain lists and dicts.
        key: where it stands in the config; empty where that is not known.

    Returns:
        Everything that it names.

    Raises:
        RunError: with the key, what was expected, and what was received.
    """
    found = []
    for place, target in _targets(config, key):
        kinds = _KINDS.get(key.partition(".")[0], _PARTS) if place == key else _PARTS
        if not isinstance(target, str):
            raise _refusal(place, kinds, repr(target))
        if target == "???":  # Hydra says it better
            continue
        if target.partition(".")[0] in _NEVER and not target.startswith("datetime.timedelta"):
            raise _refusal(place, kinds, target)
        if not _is_of(located(target, place), kinds, place):
            raise _refusal(place, kinds, target)
        found.append(target)
    return found


def located(target: str, key: str) -> Any:
    """What a full name stands for.

    Args:
        target: the name.
        key: of the node that says it.

    Raises:
        RunError: there is no such thing.
    """
    try:
        return _locate(target)
    except ImportError as error:
        raise RunError(
            f"{key}._target_: expected a class by its full name, such as torch.nn.Linear, received {target!r}: "
            f"{one_line(error)}"
        ) from error


def _targets(config: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` in it, with the key of its node."""
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
    except Exception:  # a name that only type checkers know
        return False
    return isinstance(returned, type) and issubclass(returned, kinds)


def _refusal(key: str, kinds: tuple[type, ...], received: str) -> RunError:
    named = f"{key}._target_" if key else "_target_"
    some = " or ".join(f"{kind.__module__.partition('.')[0]}'s {kind.__name__}" for kind in kinds)
    expected = "a part of a run, such as a torch.nn.Module" if kinds is _PARTS else f"a class below {some}"
    return RunError(
        f"{named}: expected {expected}, or a function whose annotation says that it returns one, received {received}; "
        "nothing was called"
    )
