"""What attaching says: of weights that are decayed twice, of a rule that is there already, of what is no optimizer."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.optim import SGD

import regtorch as rt
from regtorch.steps.hooks import attached_to


@pytest.mark.parametrize(("layers", "shown"), [(5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4, …")])
def test_at_most_five_of_the_weights_that_are_decayed_twice_are_named(layers: int, shown: str):
    net = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(layers)))
    names = re.sub(r"\d", r"\g<0>.weight", shown)
    with pytest.warns(UserWarning, match=f"weight_decay of .* both act on {re.escape(names)}; set"):
        rt.L2(0.1).on(net).attach(SGD(net.parameters(), lr=0.1, weight_decay=0.1))


def test_an_equal_rule_is_refused_with_what_to_do():
    net = nn.Linear(3, 2)
    optimizer = SGD(net.parameters(), lr=0.1)
    rt.L2(0.1).on(net).attach(optimizer)
    with pytest.raises(ValueError, match=r"remove\(\) its handle first, or set its scale$"):
        rt.L2(0.1).on(net).attach(optimizer)
    other = nn.Linear(3, 2)
    optimizer.add_param_group({"params": other.parameters()})
    rt.L2(0.1).on(other).attach(optimizer)  # of another net it is another rule
    assert len(attached_to(optimizer)) == 2


def test_an_equal_rule_of_a_wrapper_is_refused():
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    optimizer = SGD(net.parameters(), lr=0.1)
    rt.L2(0.1).on(net).attach(optimizer)
    for same in (nn.DataParallel(net), torch.compile(net), nn.ModuleDict({"net": net}), net[0]):
        with pytest.raises(ValueError, match="is already attached to this SGD"):
            rt.L2(0.1).on(same).attach(optimizer)
    rt.L2(0.1, select="bias").on(net[0]).attach(optimizer)
    assert len(attached_to(optimizer)) == 2


def test_an_error_begins_with_what_was_called():
    reg = rt.L2(0.1).on(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=r"^attach: optimizer must be a torch.optim.Optimizer, received int"):
        reg.attach(3)
    with pytest.raises(TypeError, match=r"^attached_to: optimizer must be"):
        attached_to(3)


def test_a_schedule_may_begin_again_at_its_first_step():
    net = nn.Linear(3, 2)
    reg = rt.L2(0.1).on(net)
    handle = reg.attach(SGD(net.parameters(), lr=0.1), schedule=rt.schedules.linear(1.0, 0.0, 4))
    handle.steps = 4
    assert reg.scale == 0.0
    handle.steps = 0
    assert reg.scale == 1.0
    assert torch.equal(reg(), rt.L2(0.1)(net.weight))


class Mine(SGD):
    """What its step does is not known."""


def test_what_has_no_proximal_step_is_refused_and_leaves_nothing():
    net = nn.Linear(3, 2)
    ours, mine = SGD(net.parameters(), lr=0.1), Mine(net.parameters(), lr=0.1)
    reg = rt.L1(0.1).on(net)
    for optimizer, bound, message in (
        (mine, reg, "step size for each weight, which is unknown for Mine"),
        (ours, rt.Orthogonal(0.1).on(net), "Orthogonal has no proximal step"),
    ):
        with pytest.raises(TypeError, match=message):
            bound.attach(optimizer, proximal=True)
        assert not attached_to(optimizer)
