"""An optimizer of the same kind, settings and state on the same parameters, that may be stepped and thrown away."""

from __future__ import annotations

import copy
from typing import Any

from torch.optim import Optimizer

__all__ = ["copied", "is_torchs", "rate_of"]

_WARMING = 0.01  # of a schedule's initial rate: below it a few steps show nothing


def rate_of(group: dict[str, Any]) -> float:
    """The rate that a group's steps are watched at.

    It is the one that it has, but the one that its schedule was built with where that has it next to 0 now.
    """
    now, initial = float(group.get("lr", 0.0)), float(group.get("initial_lr", 0.0))
    return initial if now < _WARMING * initial else now


def is_torchs(optimizer: Optimizer) -> bool:
    """Whether the optimizer is one of torch's own, so that its errors are not the copy's."""
    return type(optimizer).__module__.startswith("torch.optim.")


def copied(optimizer: Optimizer) -> Optimizer:
    """A copy on the same parameters, without hooks, with the attributes that a subclass has added."""
    return _copied(optimizer, {id(p): p for group in optimizer.param_groups for p in group["params"]})


def _copied(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    alike = copy.deepcopy(optimizer, memo)
    memo[id(optimizer)] = alike
    for name, value in vars(optimizer).items():
        # What lies over a method is a wrapper of this very optimizer's, such as a schedule's that counts steps.
        if name in vars(alike) or hasattr(type(optimizer), name):
            continue
        try:
            own = _copied(value, memo) if isinstance(value, Optimizer) else copy.deepcopy(value, memo)
        except Exception:  # what cannot be copied is shared
            own = value
        setattr(alike, name, own)
    return alike
