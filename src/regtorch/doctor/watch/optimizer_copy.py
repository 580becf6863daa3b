"""An optimizer of the same kind, settings and state on the same parameters, that may be stepped and thrown away."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from torch import nn
from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = ["Decay", "copied", "decays_of", "is_torchs", "number", "rate_of"]

_WARMING = 0.01  # of a schedule's initial rate: below it a few steps show nothing


@dataclass(frozen=True)
class Decay:
    """An optimizer's own weight decay of one parameter.

    Attributes:
        group: the number of the parameter's group.
        value: its weight_decay.
        decoupled: whether a step takes lr · weight_decay · w from the weight, beside what the gradient does; otherwise
            weight_decay · w is added to the gradient.
    """

    group: int
    value: float
    decoupled: bool


def decays_of(optimizer: Optimizer | None, weights: Mapping[str, nn.Parameter]) -> dict[str, Decay]:
    """The decay of each weight that has one, by name."""
    names = {id(p): name for name, p in weights.items() if not p.is_complex()}
    found: dict[str, Decay] = {}
    couples = optimizer is not None and facts_of(optimizer, or_of_base=True).couples_decay
    for index, group in enumerate(optimizer.param_groups if optimizer else ()):
        value = number(group.get("weight_decay"))
        if value:
            decoupled = bool(group.get("decoupled_weight_decay", not couples))
            decay = Decay(index, value, decoupled)
            found |= {names[id(p)]: decay for p in group["params"] if id(p) in names}
    return found


def number(setting: Any, missing: float = 0.0) -> float:
    """A setting as a number, tensors of one number included."""
    try:
        return float(setting)
    except (TypeError, ValueError, RuntimeError):
        return missing


def rate_of(group: dict[str, Any]) -> float:
    """The rate that a group's steps are watched at.

    It is the one that it has, but the one that its schedule was built with where that has it next to 0 now.
    """
    now, initial = number(group.get("lr")), number(group.get("initial_lr"))
    return initial if isfinite(initial) and now < _WARMING * initial else now


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
