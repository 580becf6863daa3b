"""Layers that are unfrozen, frozen, or handed to an optimizer after a rule was bound and attached."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

import regtorch as rt
from nets import dense, weight_normed

close = torch.testing.assert_close
LAM = 0.1


def frozen_first() -> tuple[nn.Module, Tensor, Tensor]:
    model, x, y = dense()
    model[0].requires_grad_(False)
    return model, x, y


def way_1(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, rule: rt.Penalty) -> None:
    optimizer.zero_grad()
    (F.cross_entropy(model(x), y) + rule.on(model)()).backward()
    optimizer.step()


def way_3(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.L1(LAM), rt.GroupLasso(LAM), rt.L2(LAM, select="largest:1")], ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("grouped", [False, True], ids=["owned", "added"])
def test_unfrozen_layers_join_at_the_next_step(rule: rt.Penalty, fused: bool, grouped: bool):
    model, x, y = frozen_first()
    twin = copy.deepcopy(model)
    ours, theirs = (SGD(m[2:].parameters() if grouped else m.parameters(), lr=0.1, fused=fused) for m in (model, twin))
    reg = rule.on(model)
    reg.attach(ours)
    for step in range(4):
        if step == 2:
            for m, o in ((model, ours), (twin, theirs)):
                m[0].requires_grad_(True)
                if grouped:
                    o.add_param_group({"params": list(m[0].parameters())})
        way_3(model, ours, x, y)
        way_1(twin, theirs, x, y, rule)
    close(list(model.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)
    assert "0.weight joined, unfrozen, at step 3 of SGD" in reg.receipt()
    assert reg.receipt().count("changed since binding") == 1


def test_ways_1_and_2_follow_too():
    model, x, y = frozen_first()
    reg = rt.L2(LAM).on(model)
    assert list(reg.by_weight()) == ["2.weight", "4.weight"]
    model[0].requires_grad_(True)
    close(reg(), rt.L2(LAM).on(model)())
    assert list(reg.by_weight()) == ["0.weight", "2.weight", "4.weight"]
    F.cross_entropy(model(x), y).backward()
    before = model[0].weight.grad.clone()
    reg.add_grad_()
    close(model[0].weight.grad, before + 2 * LAM * model[0].weight)
    assert "0.weight joined, unfrozen, when the rule was next used" in reg.receipt()
    assert "frozen" not in reg.receipt().split("left out")[1]


def test_several_that_join_are_named_together():
    model, *_ = dense()
    model[:4].requires_grad_(False)
    reg = rt.L2(LAM).on(model)
    assert repr(reg) == "L2(lam=0.1) on 4.weight"
    model.requires_grad_(True)
    assert "0.weight, 2.weight joined, unfrozen, when the rule was next used\n" in reg.receipt()
    assert repr(reg) == "L2(lam=0.1) on 0.weight, 2.weight, 4.weight"


def test_a_weight_whose_units_are_not_known_is_refused_when_it_is_unfrozen():
    model = nn.ModuleDict({"head": nn.Linear(4, 2), "own": nn.Module()})
    model["own"].w1 = nn.Parameter(torch.ones(3, 4, 6), requires_grad=False)
    reg = rt.GroupLasso(LAM).on(model)
    reg()
    model["own"].w1.requires_grad_(True)
    with pytest.raises(TypeError, match=r"the dim of the output units of the weight 'own.w1' \(3×4×6\) is unknown"):
        reg()


def test_constraints_follow():
    model, x, y = frozen_first()
    constraint = rt.MaxNorm(0.01).on(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    constraint.attach(optimizer)
    before = model[0].weight.clone()
    way_3(model, optimizer, x, y)
    assert torch.equal(model[0].weight, before)
    model[0].requires_grad_(True)
    way_3(model, optimizer, x, y)
    assert model[0].weight.norm(dim=1).max() < 0.01 + 1e-12
    assert "0.weight joined" in constraint.receipt()


def test_proximal_steps_follow():
    model, x, y = frozen_first()
    optimizer = SGD(model.parameters(), lr=0.1)
    rt.L1(100.0).on(model).attach(optimizer, proximal=True)
    model[0].requires_grad_(True)
    way_3(model, optimizer, x, y)
    assert (model[0].weight == 0).all()


def test_frozen_again_nothing_happens_and_it_is_no_change():
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    reg = rt.L2(LAM).on(model)
    reg.attach(optimizer)
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    way_3(model, optimizer, x, y)
    assert torch.equal(model[0].weight, before)
    model[0].requires_grad_(True)
    way_3(model, optimizer, x, y)
    assert not torch.equal(model[0].weight, before)
    assert "changed" not in reg.receipt()


def test_layers_frozen_in_turn_are_told_of_once():
    model, x, y = frozen_first()
    optimizer = SGD(model.parameters(), lr=0.1)
    reg = rt.L2(LAM).on(model)
    reg.attach(optimizer)
    for step in range(8):  # as a GAN's two nets in one module
        model[0].requires_grad_(step % 2 == 0)
        model[2:].requires_grad_(step % 2 == 1)
        twin = copy.deepcopy(model)
        way_1(twin, SGD(twin.parameters(), lr=0.1), x, y, rt.L2(LAM))
        way_3(model, optimizer, x, y)
        close(list(model.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)
    assert len(reg.changes) == 2


def test_a_parametrized_layer_joins_too():
    model, x, y = weight_normed()
    model[0].requires_grad_(False)
    reg = rt.L2(LAM).on(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    reg.attach(optimizer)
    model[0].requires_grad_(True)
    twin = copy.deepcopy(model)
    other = SGD(twin.parameters(), lr=0.1)
    way_3(model, optimizer, x, y)
    way_1(twin, other, x, y, rt.L2(LAM))
    close(list(model.parameters()), list(twin.parameters()), rtol=1e-9, atol=1e-12)


def test_an_optimizer_that_owns_only_frozen_layers_may_have_the_rule():
    model, x, y = frozen_first()
    backbone, head = SGD(model[0].parameters(), lr=0.5), SGD(model[2:].parameters(), lr=0.5)
    reg = rt.L2(1.0).on(model)
    reg.attach(backbone)
    reg.attach(head)
    backbone.step()
    model[0].requires_grad_(True)
    backbone.step()
    assert model[0].weight.abs().max() < 1e-15  # w - 0.5 · 2w


def test_a_selection_of_frozen_layers_alone_is_refused_as_ever():
    model, *_ = frozen_first()
    with pytest.raises(rt.SelectionError, match=r"0\.weight \(frozen\)"):
        rt.L2(LAM, select="name:0.*").on(model)


def test_what_joins_but_no_optimizer_owns_is_told():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    reg = rt.L2(0.1).on(model)
    handle = reg.attach(optimizer)
    assert "does not own" not in repr(handle)
    model[0].requires_grad_(True)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert "0.weight joined, unfrozen, at step 1 of SGD, which does not own 0.weight: add_param_group" in reg.receipt()
    handle.remove()
    assert repr(reg.attach(optimizer)).endswith("; SGD does not own 0.weight)")
