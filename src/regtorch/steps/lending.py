"""L2 inside a fused optimizer's own pass: its step sees a larger `weight_decay`, and nobody else does.

The optimizer streams every weight and gradient anyway, so that the penalty costs no pass of its own. A step pre-hook
may replace the arguments of the step, `self` among them: during the step `self` is a view of the optimizer that shares
everything with it but the param groups. Whatever happens meanwhile, nobody touches the optimizer's own groups.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.steps.optimizers import facts_of

__all__ = ["lends_decay", "used", "view_with_decay"]


def lends_decay(optimizer: Optimizer) -> bool:
    """Whether its step adds weight_decay · w to each gradient in one pass with everything else.

    Others add it in a pass of their own, decouple it, or are a class of which this is not known.
    """
    if not facts_of(optimizer).lends_decay or torch.compiler.is_compiling():
        return False
    return all(g.get("fused") and not g.get("decoupled_weight_decay") for g in optimizer.param_groups)


def view_with_decay(optimizer: Optimizer, decays: Mapping[int, float]) -> Optimizer:
    """A stand-in for `optimizer` inside its own step, whose weight_decay of each parameter is larger by `decays`.

    `decays` is read when the step asks for the param groups: after a closure has run, and after other hooks have set
    rates or added groups.
    """
    view = object.__new__(_view_class(type(optimizer)))
    view.__dict__ = optimizer.__dict__
    view.decays, view.used = decays, False
    return view


def used(view: Optimizer) -> bool:
    """Whether a step asked the view for its param groups."""
    return view.used  # pyright: ignore[reportAttributeAccessIssue]


@cache
def _view_class(kind: type[Optimizer]) -> Any:
    """A subclass of `kind` with param groups of its own; what is stored in slots is not in the shared `__dict__`.

    Hooks get the step's arguments, the view among them: they see the optimizer's groups, and its copy is the
    optimizer's.
    """

    def param_groups(view: Any) -> list[dict[str, Any]]:
        groups = view.__dict__["param_groups"]
        if sys._getframe(1).f_globals.get("__name__") != kind.__module__:
            return groups  # the optimizer's own code did not ask
        view.used = True
        return [part for group in groups for part in _parts(group, view.decays)]

    def reduce(view: Any, protocol: int) -> tuple[Any, ...]:
        return object.__new__, (kind,), view.__getstate__()

    own = {"__slots__": ("decays", "used"), "param_groups": property(param_groups), "__reduce_ex__": reduce}
    return type(kind.__name__, (kind,), own)


def _parts(group: dict[str, Any], decays: Mapping[int, float]) -> list[dict[str, Any]]:
    """The group, cut into one for each weight_decay."""
    by_decay: dict[float, list[Tensor]] = {}
    for p in group["params"]:
        by_decay.setdefault(group["weight_decay"] + decays.get(id(p), 0.0), []).append(p)
    return [{**group, "params": params, "weight_decay": decay} for decay, params in by_decay.items()]
