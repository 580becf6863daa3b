"""Rules on nets without storage: what was chosen is shown, and a rule must be attached to the weights that came."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

import regtorch as rt


def a_meta_net() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


@pytest.mark.parametrize("rule", [rt.L2(0.1), rt.GroupLasso(0.1), rt.MaxNorm(0.5)], ids=str)
def test_a_receipt_has_no_values(rule: rt.Penalty | rt.Constraint):
    text = rule.on(a_meta_net()).receipt()
    assert text.splitlines()[0].endswith("2 weights, 18 parameters, without values, on the meta device")


def test_weights_that_came_later_are_told_from_those_of_the_optimizer():
    model = a_meta_net()
    reg, early = rt.L2(0.1).on(model), SGD(model.parameters(), lr=0.1)
    reg.attach(early)
    model.to_empty(device="cpu")
    for p in model.parameters():
        nn.init.normal_(p)
    F.cross_entropy(model(torch.ones(2, 4)), torch.tensor([0, 1])).backward()
    with pytest.raises(RuntimeError, match="no longer finds its weights in this SGD: they were replaced"):
        early.step()
    late = SGD(model.parameters(), lr=0.1)
    reg.attach(late)
    before = model[0].weight.detach().clone()
    gradient = model[0].weight.grad + 0.2 * before
    late.step()
    torch.testing.assert_close(model[0].weight, before - 0.1 * gradient)
    assert "meta device" not in reg.receipt()


@pytest.mark.parametrize("rule", [rt.L2(0.1), rt.GroupLasso(0.1), rt.NuclearNorm(0.1), rt.SpectralMax(0.5)], ids=str)
def test_a_step_without_values_is_a_step(rule: rt.Penalty | rt.Constraint):
    model = a_meta_net()
    optimizer = SGD(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer)
    for given in (True, False):
        for p in model.parameters():
            p.grad = torch.zeros_like(p) if given else None
        optimizer.step()
    if isinstance(rule, rt.Penalty):
        grad = model[0].weight.grad
        assert grad is not None
        assert grad.is_meta
        assert grad.shape == (3, 4)


def test_a_net_that_has_some_values_has_no_sum_of_them():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, device="meta"))
    assert rt.L2(0.1).on(model)().is_meta
    assert rt.MaxNorm(0.1).on(model).violation().is_meta
    assert "0.weight" in rt.L2(0.1).on(model).receipt()
