"""An activity penalty as a rule: what it says, and what it costs of one output."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import regtorch as rt


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU())


def test_what_it_says():
    rule = "Activity(penalty=L1(lam=0.1), select='type:ReLU')"
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(net())
    assert repr(reg.rule) == rule
    assert repr(reg) == f"{rule} on the outputs of 1, 3"
    assert reg.receipt() == f"{rule}: the outputs of 2 modules\n    1  ReLU\n    3  ReLU"
    one = rt.Activity(rt.L1(0.1), select="name:1").on(net())
    assert one.receipt().endswith(": the outputs of 1 module\n    1  ReLU")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.rule.select = "name:3"


def test_the_batch_size_of_small_batches():
    rule = rt.Activity(rt.L1(0.1), select="all")
    output = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(rule(output), torch.tensor(0.3))
    torch.testing.assert_close(rule(output.T), torch.tensor(0.15))
    torch.testing.assert_close(rule(output[0]), torch.tensor(0.15))
    assert rule(output[:0]) == 0


def test_any_function_is_a_penalty_and_select_is_a_text():
    rule = rt.Activity(lambda h: h.square().sum(), select="all")
    assert isinstance(rule.penalty, rt.Custom)
    assert rule(torch.full((2, 3), 2.0)) == 12
    with pytest.raises(TypeError, match="Activity: select must be a string"):
        rt.Activity(rt.L1(0.1), select=3)
