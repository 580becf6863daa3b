from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import regtorch as rt
from nets import dense

close = torch.testing.assert_close


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters()]


def test_a_handle_takes_the_rule_off():
    model, x, y = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    F.cross_entropy(model(x), y).backward()
    plain = gradients(model)
    handle = rt.L2(1.0).on(model).attach(optimizer)
    handle.remove()
    handle.remove()
    optimizer.step()
    close(gradients(model), plain, rtol=0, atol=0)
    assert not optimizer._optimizer_step_pre_hooks
    rt.L2(1.0).on(model).attach(optimizer)
    optimizer.step()
    close(model[0].weight.grad, plain[0] + 2 * model[0].weight)


def test_a_stale_handle_leaves_a_later_attachment_alone():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    reg = rt.L2(1.0).on(model)
    stale = reg.attach(optimizer)
    stale.remove()
    reg.attach(optimizer)
    stale.remove()
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15


def test_a_rule_acts_on_the_weights_of_each_optimizer_once():
    model, x, y = dense()
    first = torch.optim.SGD(model[0].parameters(), lr=0.0)
    second = torch.optim.SGD([*model[2].parameters(), *model[4].parameters()], lr=0.0)
    reg = rt.L2(1.0).on(model)
    reg.attach(first)
    reg.attach(second)
    F.cross_entropy(model(x), y).backward()
    plain = gradients(model)
    first.step()
    assert torch.equal(model[2].weight.grad, plain[2])
    second.step()
    for i, p in enumerate(model.parameters()):
        close(p.grad, plain[i] + 2 * p if p.ndim == 2 else plain[i])


@pytest.mark.parametrize("proximal", [False, True])
def test_each_term_of_a_sum_acts_in_the_optimizer_that_owns_it(proximal: bool):
    model, x, y = dense()
    twin = copy.deepcopy(model)

    def optimizers(net: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(net[0].parameters(), lr=0.1), torch.optim.SGD(net[2:].parameters(), lr=0.1)]

    def terms(net: nn.Module) -> list[rt.BoundPenalty]:
        return [rt.L1(0.1).on(net[0]), rt.L2(0.2).on(net[2]), rt.GroupLasso(0.05, select="name:0.*|name:4.*").on(net)]

    ours, theirs = optimizers(model), optimizers(twin)
    total = sum(terms(model))
    for optimizer in ours:
        total.attach(optimizer, proximal=proximal)
    for term, owners in zip(terms(twin), ([0], [1], [0, 1]), strict=True):
        for i in owners:
            term.attach(theirs[i], proximal=proximal)
    for _ in range(3):
        for net, both in ((model, ours), (twin, theirs)):
            net.zero_grad()
            F.cross_entropy(net(x), y).backward()
            for optimizer in both:
                optimizer.step()
    close(list(model.parameters()), list(twin.parameters()), rtol=0, atol=0)


def test_a_sum_of_which_nothing_is_owned_is_refused():
    model, *_ = dense()
    total = rt.L1(0.1).on(model[0]) + rt.L2(0.2).on(model[2])
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    with pytest.raises(ValueError, match="owns none of the weights of L1"):
        total.attach(optimizer)
    assert not optimizer._optimizer_step_pre_hooks


def test_a_term_whose_weights_were_replaced_is_an_error_in_a_sum_too():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (rt.L1(0.1).on(model[0]) + rt.L2(0.2).on(model[2])).attach(optimizer)
    model[2].weight = nn.Parameter(model[2].weight.detach().clone())
    with pytest.raises(RuntimeError, match="L2.* no longer finds its weights"):
        optimizer.step()


def test_two_optimizers_share_a_weight_normed_layer_by_its_parameters():
    model, x, y = dense()
    parametrizations.weight_norm(model[0])
    magnitude, direction = model[0].parametrizations.weight.parameters()
    rule = rt.L2(1.0, select="name:0.weight")
    (F.cross_entropy(model(x), y) + rule.on(model)()).backward()
    expected = [magnitude.grad.clone(), direction.grad.clone()]
    model.zero_grad()
    optimizers = [torch.optim.SGD([p], lr=0.0) for p in (magnitude, direction)]
    reg = rule.on(model)
    for optimizer in optimizers:
        reg.attach(optimizer)
    F.cross_entropy(model(x), y).backward()
    for optimizer in optimizers:
        optimizer.step()
    close([magnitude.grad, direction.grad], expected, rtol=1e-12, atol=1e-12)


def test_weights_added_to_the_optimizer_later_are_seen():
    model, *_ = dense()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.5)
    rt.L2(1.0).on(model).attach(optimizer)
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15  # w - 0.5 · 2w
    assert model[2].weight.abs().max() > 0.1
    optimizer.add_param_group({"params": list(model[2].parameters())})
    optimizer.step()
    assert model[2].weight.abs().max() < 1e-15


def test_projections_come_after_the_step_and_after_proximal_steps():
    model, x, y = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rt.UnitNorm().on(model).attach(optimizer)  # attached first, still last
    rt.L1(0.5).on(model).attach(optimizer, proximal=True)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    kernels = list(rt.select.weights(model, "kernel").values())
    norms = torch.cat([w.norm(dim=1) for w in kernels])
    close(norms[norms > 0], torch.ones_like(norms[norms > 0]))
    assert any((w == 0).any() for w in kernels)


def test_weight_decay_beside_a_penalty_warns_once():
    model, *_ = dense()
    adamw = torch.optim.AdamW(model.parameters())  # decays by 0.01 unless told otherwise
    with pytest.warns(UserWarning, match="the weight_decay of AdamW both act on 0.weight, 2.weight") as caught:
        rt.L2(0.1).on(model).attach(adamw)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    rt.L2(0.1).on(model).attach(torch.optim.AdamW(model.parameters(), weight_decay=0.0))
    groups = [{"params": list(model[0].parameters()), "weight_decay": 0.1}, {"params": list(model[2].parameters())}]
    rt.L2(0.1, select="name:2.*").on(model).attach(torch.optim.SGD(groups, lr=0.1))
    rt.L2(0.0).on(model).attach(adamw)
    with pytest.warns(UserWarning, match="and the weight_decay of AdamW"):
        rt.L1(0.1, select="bias").on(model).attach(adamw, proximal=True)


def test_errors_leave_nothing_attached():
    model, *_ = dense()
    stranger = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    reg = rt.L2(0.1).on(model)
    with pytest.raises(ValueError, match=r"this SGD owns none of the weights of L2\(lam=0.1\) on 0.weight"):
        reg.attach(stranger)
    with pytest.raises(ValueError, match="owns none of the weights of MaxNorm"):
        rt.MaxNorm().on(model).attach(stranger)
    with pytest.raises(TypeError, match="optimizer must be a torch.optim.Optimizer, received list"):
        reg.attach([])
    assert not stranger._optimizer_step_pre_hooks
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reg.attach(optimizer)
    for again in (reg, reg + rt.L1(0.1, select="bias").on(model)):
        with pytest.raises(ValueError, match="is already attached to this SGD"):
            again.attach(optimizer)
    with pytest.raises(ValueError, match="maximize=True and would make the penalty grow"):
        reg.attach(torch.optim.Adam(model.parameters(), maximize=True))
    with pytest.raises(TypeError, match="SparseAdam only takes sparse gradients"):
        reg.attach(torch.optim.SparseAdam(model.parameters()))


def test_wrapped_optimizers_are_seen_through():
    class Wrapper:
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

    model, *_ = dense()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    rt.L2(1.0).on(model).attach(Wrapper(Wrapper(optimizer)))
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15


def test_rules_that_hold_tensors_are_told_apart_in_any_kind_of_class():
    @dataclass(frozen=True, repr=False)
    class Near(rt.Penalty):
        where: Tensor

        def __call__(self, w: Tensor) -> Tensor:
            return (w - self.where).square().sum()

    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    zero = Near(torch.zeros(2, 3))
    for rule in (zero, Near(torch.ones(2, 3))):
        rule.on(model).attach(optimizer)
    with pytest.raises(ValueError, match="already"):
        zero.on(model).attach(optimizer)


def test_a_step_that_takes_something_else_than_a_closure():
    class Clipping(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # a number
            torch.nn.utils.clip_grad_value_([p for group in self.param_groups for p in group["params"]], closure)
            super().step()

    model = nn.Linear(3, 2, dtype=torch.float64)
    optimizer = Clipping(model.parameters(), lr=0.1)
    rt.L2(100.0).on(model).attach(optimizer)
    before = model.weight.detach().clone()
    optimizer.zero_grad()
    optimizer.step(0.5)
    close(model.weight.detach(), before - 0.05 * before.sign())


def test_groups_that_maximise_are_refused_where_the_penalty_is():
    model, multiplier = nn.Linear(3, 2), nn.Parameter(torch.zeros(2, 2))
    optimizer = torch.optim.SGD([{"params": model.parameters()}, {"params": [multiplier], "maximize": True}], lr=0.1)
    rt.L2(0.1).on(model).attach(optimizer)
    optimizer.step()
    optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(ValueError, match="maximize=True and would make the penalty grow"):
        optimizer.step()


def test_schedules_by_scale():
    model, *_ = dense()
    start = model[0].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    reg = rt.L2(0.1).on(model)
    reg.attach(optimizer)
    for scale in (0.0, 0.5, 1.0):
        reg.scale = scale
        optimizer.zero_grad()
        optimizer.step()
    close(model[0].weight.detach(), start * (1 - 0.05) * (1 - 0.1))


def test_an_equal_rule_is_not_attached_twice():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = rt.L2(0.1).on(model).attach(optimizer)
    with pytest.raises(ValueError, match=r"already attached to this SGD; remove\(\) its handle first"):
        rt.L2(0.1).on(model).attach(optimizer)
    rt.L2(0.2).on(model).attach(optimizer)
    handle.remove()
    rt.L2(0.1).on(model).attach(optimizer)


def test_a_handle_says_what_it_holds():
    net = nn.Linear(3, 2)
    reg = rt.L2(0.1).on(net)
    handle = reg.attach(torch.optim.SGD(net.parameters(), lr=0.1))
    assert repr(handle) == f"Handle({reg!r})"
    handle.remove()
    assert repr(handle).endswith(", removed)")


def test_a_constraint_has_no_scale_to_set():
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rt.MaxNorm(1.0).on(net).attach(optimizer)
    with pytest.raises(ValueError, match=r"remove\(\) its handle first$"):
        rt.MaxNorm(1.0).on(net).attach(optimizer)
