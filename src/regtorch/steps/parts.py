"""The single rules that a bound rule consists of."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from regtorch.numerics.sharded import cut_again
from regtorch.rule import Rule
from regtorch.steps.wrappers import owned_by

__all__ = ["is_again", "owns", "parts_of"]


def parts_of(bound: Any) -> list[Any]:
    """The terms of a sum, or the rule itself."""
    return [term for _, term in bound.terms()] if hasattr(bound, "terms") else [bound]


def is_again(part: Any, other: Any) -> bool:
    """Whether two bound rules are the same on the same weights, perhaps of a net and of a wrapper around it."""
    if not Rule.__eq__(part.rule, other.rule):
        return False
    own, others = ({id(p) for _, p in one.leaves(frozen=True)} for one in (part, other))
    return part.model is other.model or (bool(own) and own == others)


def owns(optimizer: Optimizer, part: Any) -> bool:
    """Whether an optimizer owns a weight, possibly frozen, of a rule."""
    cut_again(part.model)
    owned = owned_by(optimizer)
    return any(id(p) in owned for _, p in part.leaves(frozen=True))
