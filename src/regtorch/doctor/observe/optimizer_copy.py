"""A copy of an optimizer on the same parameters that may be stepped and discarded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = ["Decay", "copied", "decays_of", "in_one_pass", "is_torchs", "number", "rate_of"]

_WARMING = 0.01  # of a schedule's initial rate: below that, a few steps show nothing


@dataclass(frozen=True)
class Decay:
    """An optimizer's own weight decay of one parameter."""

    group: int  # index of the parameter's group
    value: float
    decoupled: bool  # subtracts lr · weight_decay · w from the weight; coupled adds weight_decay · w to the gradient


def decays_of(optimizer: Optimizer | None, weights: Mapping[str, nn.Parameter]) -> dict[str, Decay]:
    """The decay of each decayed weight, by name."""
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


def number(setting: Any) -> float:
    """A setting, which may be a tensor, as a number; 0 if it is not a number."""
    try:
        return float(setting)
    except (TypeError, ValueError, RuntimeError):
        return 0.0


def rate_of(group: dict[str, Any]) -> float:
    """The rate at which a group's steps are watched: the current one, or the initial one during a warm-up."""
    now, initial = number(group.get("lr")), number(group.get("initial_lr"))
    return initial if isfinite(initial) and now < _WARMING * initial else now


def is_torchs(optimizer: Optimizer) -> bool:
    """Whether it is one of torch's own optimizers, whose errors are not the copy's fault."""
    return type(optimizer).__module__.startswith("torch.optim.")


def copied(optimizer: Optimizer) -> Optimizer:
    """A copy on the same parameters, without hooks, with the attributes that a subclass added."""
    return _copied(optimizer, {id(p): p for group in optimizer.param_groups for p in group["params"]})


def in_one_pass(optimizer: Optimizer) -> Optimizer:
    """Let torch's Adam, whose state is the same, step all weights in one call where that is possible and not decided.

    A step of a small net then takes two thirds of the time.
    """
    if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and all(map(_may_fuse, optimizer.param_groups)):
        for group in optimizer.param_groups:
            group["fused"] = True
    return optimizer


def _may_fuse(group: dict[str, Any]) -> bool:
    decided = any(group.get(key) for key in ("foreach", "differentiable", "capturable"))
    plain = all(
        p.device.type == "cpu" and p.dtype in (torch.float32, torch.float64) and p.is_contiguous() and p.numel()
        for p in group["params"]
    )
    return plain and not decided and group.get("fused") is None and not isinstance(group["lr"], torch.Tensor)


def _copied(optimizer: Optimizer, memo: dict[int, Any]) -> Optimizer:
    alike = copy.deepcopy(optimizer, memo)
    memo[id(optimizer)] = alike
    for name, value in vars(optimizer).items():
        # An attribute that shadows a method wraps this optimizer, such as a schedule's step counter.
        if name in vars(alike) or hasattr(type(optimizer), name):
            continue
        try:
            own = _copied(value, memo) if isinstance(value, Optimizer) else copy.deepcopy(value, memo)
        except Exception:  # share what cannot be copied
            own = value
        setattr(alike, name, own)
    return alike
