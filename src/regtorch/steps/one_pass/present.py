"""What a prepared pass depends on, as it is at a step: as long as that stays equal, the pass can be used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.steps.one_pass.updates import Update

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["facts_of", "present"]

_DECIDING = ("maximize", "differentiable", "capturable")
_NONE: Mapping[str, Any] = {}
Rules = Mapping["Place", Sequence[Any]]


def present(optimizer: Optimizer, update: Update, rules: Rules) -> tuple[object, ...]:
    """All that decides which weights a pass takes and how. Tensors are told by their ids: keep them meanwhile."""
    groups = optimizer.param_groups
    settings = [(update.states(group), [group.get(name) for name in (*update.flags, *_DECIDING)]) for group in groups]
    weights = [[facts_of(p, optimizer.state.get(p, _NONE)) for p in group["params"]] for group in groups]
    return settings, weights, list(_acting(rules))


def facts_of(p: nn.Parameter, state: Mapping[str, Any]) -> tuple[object, ...]:
    """The kinds of a weight, its gradient and the tensors of its state, without their numbers."""
    g = p.grad
    strided = g is not None and g.layout is torch.strided
    return (
        id(p),
        p.requires_grad,
        p.dtype,
        p.device,
        p.shape,
        p.stride() if p.layout is torch.strided else None,
        (g.dtype, g.device, g.stride()) if g is not None and strided else g is None,
        tuple([(t.dtype, t.stride()) if isinstance(t, Tensor) and t.ndim else type(t) for t in state.values()]),
    )


def _acting(rules: Rules) -> Iterator[tuple[object, ...]]:
    for place, bounds in rules.items():
        for bound in bounds:
            for term in [term for _, term in bound.terms()] if place != "constraint" else [bound]:
                yield place, term, term.rule, [(weight, id(w)) for weight, w in term.weights()]
