"""The rules that are timed, each with the formula a user would write without this library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import regtorch as rt

__all__ = ["L1", "L2", "RULES", "RuleCase"]

L1, L2 = 1e-5, 1e-3


@dataclass(frozen=True)
class RuleCase:
    """A rule.

    Attributes:
        rule: this library's.
        naive: the user's: of the chosen weights, a penalty to add to the loss, or a projection after the step.
        moves: numbers that must be read or written, for each number of a weight, where the rule has a pass of its own.
        weight_decay: the optimizer's own setting that does the same, where there is one.
    """

    rule: rt.Penalty | rt.Constraint
    naive: Callable[[Sequence[Tensor]], Tensor | None]
    moves: int
    weight_decay: float | None = None


def _sum(values: Iterable[Tensor]) -> Tensor:
    """One addition after the other, as a user's loop does."""
    return sum(values, torch.zeros(()))


def _l2(weights: Sequence[Tensor]) -> Tensor:
    return L2 * _sum(w.square().sum() for w in weights)


def _l1(weights: Sequence[Tensor]) -> Tensor:
    return L1 * _sum(w.abs().sum() for w in weights)


def _l1l2(weights: Sequence[Tensor]) -> Tensor:
    return _l1(weights) + _l2(weights)


def _group_lasso(weights: Sequence[Tensor]) -> Tensor:
    return L1 * _sum(math.sqrt(w[0].numel()) * w.flatten(1).norm(dim=1).sum() for w in weights)


@torch.no_grad()
def _max_norm(weights: Sequence[Tensor]) -> None:
    for w in weights:
        norm = w.flatten(1).norm(dim=1)
        w.mul_((norm.clamp(max=_LARGEST) / norm.clamp(min=1e-12)).view(-1, *[1] * (w.ndim - 1)))


_LARGEST = 1.0  # most units start outside and are pushed outside again by each step, so that it always acts

# A penalty's gradient reads the weight, and reads and writes the gradient. A projection reads the weight, and reads and
# writes it again where it acts; a unit that was just read for its norm is still in the cache.
RULES = {
    "L2": RuleCase(rt.L2(L2), _l2, moves=3, weight_decay=2 * L2),
    "L1": RuleCase(rt.L1(L1), _l1, moves=3),
    "L1L2": RuleCase(rt.L1L2(L1, L2), _l1l2, moves=3),
    "GroupLasso": RuleCase(rt.GroupLasso(L1), _group_lasso, moves=3),
    "MaxNorm": RuleCase(rt.MaxNorm(_LARGEST), _max_norm, moves=2),
}
