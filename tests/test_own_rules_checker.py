"""What `regtorch.testing` says of wrong rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from regtorch.testing import check_constraint, check_penalty
from test_own_rules import Vector, wrong


def _writes(self: Any, w: Tensor) -> Tensor:
    with torch.no_grad():
        w.mul_(2)
    return self.lam * w.square().sum()


WRONG: dict[str, tuple[rt.Penalty, str]] = {
    "vector": (Vector(), r"gives a tensor of shape \(1,\) where a penalty is one number; sum it"),
    "nan": (wrong(__call__=lambda self, w: self.lam * (w - w).sum() / 0 * 0), "gives nan"),
    "no graph": (wrong(__call__=lambda self, w: torch.tensor(self.lam)), "gives a number without a graph"),
    "number": (wrong(__call__=lambda self, w: 1.0), "gives 1.0 where a penalty is one number"),
    "writes": (wrong(__call__=_writes), "writes into the weight"),
    "random": (wrong(__call__=lambda self, w: self.lam * torch.rand(()) * w.sum()), "gives another number when"),
    "grad": (wrong(grad=lambda self, w: self.lam * w), "has grad .* where autograd says"),
    "shape of grad": (wrong(grad=lambda self, w: (2 * self.lam * w).sum()), "another shape or dtype than its weight"),
    "add_grad_": (wrong(add_grad_=lambda self, w, into, factor: into.add_(w)), "adds another gradient by add_grad_"),
    "prox": (wrong(prox=lambda self, w, step: w), "has a prox of .* whose cost .* is above"),
    "strength": (wrong(__call__=lambda self, w: (self.lam + 0.1) * rt.L2(1.0)(w)), "not 0 at strength 0"),
    "square": (wrong(__call__=lambda self, w: self.lam**2 * rt.L2(1.0)(w)), "not twice as large"),
}


@pytest.mark.parametrize(("rule", "message"), WRONG.values(), ids=WRONG)
def test_the_checker_names_what_is_wrong_and_shows_a_weight(rule: rt.Penalty, message: str):
    with pytest.raises(AssertionError, match=rf"(?s){message}.*\n    w = tensor"):
        check_penalty(rule)


class Loose(rt.Constraint):
    """Only half of the way into [-1, 1]."""

    def __call__(self, w: Tensor) -> Tensor:
        return (w + w.clamp(-1, 1)) / 2

    def project_(self, w: Tensor) -> Tensor:
        return w.copy_(self(w))

    def violation(self, w: Tensor) -> Tensor:
        return (w.abs() - 1).clamp(min=0).max()


class Away(Loose):
    """The other way."""

    rate: float = 0.5

    def __call__(self, w: Tensor) -> Tensor:
        return 1.5 * w


class Elsewhere(rt.NonNeg):
    """In place it does something else."""

    def project_(self, w: Tensor) -> Tensor:
        return w.abs_()


def test_the_checker_of_constraints():
    for rule in (
        rt.MaxNorm(1.0),
        rt.UnitNorm(),
        rt.NonNeg(),
        rt.MinMaxNorm(0.5, 1.0),
        rt.MinMaxNorm(0.5, 1.0, rate=0.3),
    ):
        check_constraint(rule)
    with pytest.raises(AssertionError, match="changes a weight that it has brought into the set"):
        check_constraint(Loose())
    with pytest.raises(AssertionError, match="moves a weight away from the set"):
        check_constraint(Away())
    with pytest.raises(AssertionError, match="differs in place"):
        check_constraint(Elsewhere())
    for check, other in ((check_penalty, rt.NonNeg()), (check_constraint, rt.L1())):
        with pytest.raises(TypeError, match="rule must be a regtorch"):
            check(other)


def test_a_constraint_asks_for_output_units_only_where_it_says_so():
    table = nn.ParameterList([torch.tensor([[3.0, 0.5]])])
    Loose(select="all").on(table).project_()
    assert torch.equal(table[0], torch.tensor([[2.0, 0.5]]))
