"""L2 inside a fused optimizer's own pass: only its step sees a larger `weight_decay`.

The step reads every weight and gradient anyway, so the penalty costs no extra pass. A step pre-hook may replace the
step's arguments, including `self`: during the step, `self` is a view of the optimizer that shares everything except the
param groups, so the optimizer's own groups never change.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = ["LEAST_LENT", "lends_decay", "used", "view_of"]

LEAST_LENT = 1 << 18  # numbers; a second param group costs a step of fewer more than adding to their gradients


def lends_decay(optimizer: Optimizer) -> bool:
    """Whether its step adds weight_decay · w to each gradient in one fused pass."""
    if not facts_of(optimizer).lends_decay or torch.compiler.is_compiling():
        return False
    return all(g.get("fused") and not g.get("decoupled_weight_decay") for g in optimizer.param_groups)


def view_of(optimizer: Optimizer, decays: Mapping[int, float], taken: Set[int]) -> Optimizer:
    """A view of `optimizer` for its own step: each weight_decay increased by `decays`, the weights `taken` left out.

    Both are read when the step reads the param groups: after a closure has run, and after other hooks.
    """
    view = object.__new__(_view_class(type(optimizer)))
    view.__dict__ = optimizer.__dict__
    view.decays, view.taken, view.used = decays, taken, False
    return view


def used(view: Optimizer) -> bool:
    """Whether the step has read the view's param groups."""
    return view.used  # pyright: ignore[reportAttributeAccessIssue]


@cache
def _view_class(kind: type[Optimizer]) -> Any:
    """A subclass of `kind` with its own param groups; its slots are not in the shared `__dict__`.

    Hooks that receive the view see the optimizer's own groups, and copying it copies the optimizer.
    """
    step: Any = kind.step
    own_code = {kind.__module__, step.__module__}  # AdamW's step is Adam's

    def param_groups(view: Any) -> list[dict[str, Any]]:
        groups = view.__dict__["param_groups"]
        if sys._getframe(1).f_globals.get("__name__") not in own_code:
            return groups  # not read by the optimizer's own code
        view.used = True
        return [part for group in groups for part in _parts(group, view.decays, view.taken)]

    def reduce(view: Any, protocol: int) -> tuple[Any, ...]:
        return object.__new__, (kind,), view.__getstate__()

    own = {"__slots__": ("decays", "taken", "used"), "param_groups": property(param_groups), "__reduce_ex__": reduce}
    return type(kind.__name__, (kind,), own)


class _Part(dict[str, Any]):
    """Some weights of a group; what the optimizer's step sets in it, such as its own count of steps, the group gets."""

    def __init__(self, group: dict[str, Any], params: list[Tensor], decay: float) -> None:
        super().__init__(group, params=params, weight_decay=decay)
        self._group = group

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._group[name] = value


def _parts(group: dict[str, Any], decays: Mapping[int, float], taken: Set[int]) -> list[dict[str, Any]]:
    """The group without the weights `taken`, split by weight_decay."""
    by_decay: dict[float, list[Tensor]] = {}
    for p in group["params"]:
        if id(p) in taken:
            continue
        by_decay.setdefault(group["weight_decay"] + decays.get(id(p), 0.0), []).append(p)
    if not by_decay and "step" in group:  # which counts steps also without weights
        by_decay[group["weight_decay"]] = []
    return [_Part(group, params, decay) for decay, params in by_decay.items()]
