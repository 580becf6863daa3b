"""What `regtorch.testing` says of wrong rules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import regtorch as rt
from regtorch.testing import check_constraint, check_penalty
from wrong_rules import WRONG, Away, Elsewhere, Loose


@pytest.mark.parametrize(("rule", "message"), WRONG.values(), ids=WRONG)
def test_the_checker_names_what_is_wrong_and_shows_a_weight(rule: rt.Penalty, message: str):
    with pytest.raises(AssertionError, match=rf"(?s){message}.*\n    w = tensor"):
        check_penalty(rule)


def test_the_checker_of_constraints():
    for rule in (
        rt.MaxNorm(1.0),
        rt.UnitNorm(),
        rt.NonNeg(),
        rt.MinMaxNorm(0.5, 1.0),
        rt.MinMaxNorm(0.5, 1.0, rate=0.3),
    ):
        check_constraint(rule)
    with pytest.raises(AssertionError, match="changes a weight that is already in the set"):
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
