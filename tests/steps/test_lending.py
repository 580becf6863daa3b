"""L2 in a fused optimizer's own pass: the same steps as by the loss, and an optimizer that shows nothing of it."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

import regtorch as rt
from fused import LAM, attached, batch, groups_of, three_layers
from regtorch.steps.lending import lends_decay

FUSED: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.05, fused=True),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, fused=True),
    "adam": lambda p: Adam(p, lr=0.01, fused=True),
    "amsgrad": lambda p: Adam(p, lr=0.01, amsgrad=True, weight_decay=0.02, fused=True),
    "adagrad": lambda p: Adagrad(p, lr=0.1, fused=True),
}


@pytest.fixture(autouse=True)
def lent_however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regtorch.bound.penalty.LEAST_LENT", 0)


@pytest.fixture
def net() -> nn.Module:
    return three_layers()


RULES = {
    "kernels": (rt.L2(LAM),),
    "one weight": (rt.L2(LAM, select="name:2.weight"),),
    "two strengths": (rt.L2(LAM), rt.L2(0.7, select="all")),
    "beside L1": (rt.L1L2(0.0, LAM), rt.L1(0.01)),
}


@pytest.mark.filterwarnings("ignore:.*and the weight_decay of Adam both act")
@pytest.mark.parametrize("closure", [False, True], ids=["plain", "closure"])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
def test_the_steps_are_those_of_the_loss(net: nn.Module, make: Any, rules: tuple[rt.Penalty, ...], closure: bool):
    other = copy.deepcopy(net)
    ours, theirs = make(net.parameters()), make(other.parameters())
    bound, in_loss = attached(net, ours, *rules), [rule.on(other) for rule in rules]
    before = groups_of(ours)
    for step in range(6):
        for one in [*bound, *in_loss]:
            one.scale = 1 + step / 3  # a schedule

        def by_hook(step: int = step) -> Tensor:
            ours.zero_grad()
            loss = net(batch(step)).square().mean()
            loss.backward()
            return loss

        if closure:
            ours.step(by_hook)
        else:
            by_hook()
            ours.step()
        theirs.zero_grad()
        (other(batch(step)).square().mean() + sum(one() for one in in_loss)).backward()
        theirs.step()
        for p, q in zip(net.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)
        assert groups_of(ours) == before


def test_the_gradient_stays_the_tasks(net: nn.Module):
    optimizer = Adam(net.parameters(), fused=True)
    attached(net, optimizer, rt.L2(LAM))
    net(batch()).square().mean().backward()
    before = [p.grad.clone() for p in net.parameters()]
    optimizer.step()
    for p, g in zip(net.parameters(), before, strict=True):
        assert torch.equal(p.grad, g)


def test_groups_keep_their_rates_and_their_own_decay(net: nn.Module):
    other = copy.deepcopy(net)

    def groups(model: nn.Module) -> list[dict[str, Any]]:
        first, *rest = model.children()
        return [
            {"params": list(first.parameters()), "lr": 0.1},
            {"params": [p for m in rest for p in m.parameters()], "lr": 0.01, "weight_decay": 0.5},
        ]

    ours = SGD(groups(net), momentum=0.9, fused=True)
    theirs = SGD(groups(other), momentum=0.9)
    penalty = rt.L2(LAM).on(other)
    with pytest.warns(UserWarning, match="weight_decay"):
        attached(net, ours, rt.L2(LAM))
    schedules = [torch.optim.lr_scheduler.StepLR(o, 2, 0.5) for o in (ours, theirs)]
    for step in range(5):
        for model, optimizer in ((net, ours), (other, theirs)):
            optimizer.zero_grad()
            model(batch(step)).square().mean().backward()
            if model is other:
                penalty.add_grad_()
            optimizer.step()
        for schedule in schedules:
            schedule.step()
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)
    assert [g["lr"] for g in ours.param_groups] == [g["lr"] for g in theirs.param_groups]
    assert ours.state_dict()["param_groups"][1]["weight_decay"] == 0.5


class Boom(Exception):
    """What a hook of somebody else's raises."""


def fail_once(optimizer: Optimizer, where: str) -> None:
    """Let the next step raise in a hook before it, in the optimizer's own code, or in a hook after it."""
    failed: list[bool] = []

    def fail(*args: Any) -> None:
        if not failed:
            failed.append(True)
            raise Boom

    if where == "before":
        optimizer.register_step_pre_hook(fail)
    elif where == "after":
        optimizer.register_step_post_hook(fail)
    else:
        init_group = optimizer._init_group

        def init_or_fail(*args: Any) -> Any:
            fail()
            return init_group(*args)

        optimizer._init_group = init_or_fail


@pytest.mark.parametrize("where", ["before", "inside", "after"])
@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
@pytest.mark.filterwarnings("ignore:.*and the weight_decay of Adam both act")
def test_a_step_that_raises_leaves_the_users_groups(net: nn.Module, make: Any, where: str):
    optimizer = make([{"params": [p], "weight_decay": 0.1 * i} for i, p in enumerate(net.parameters())])
    before = groups_of(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attached(net, optimizer, rt.L2(LAM, select="all -name:0.weight"))
    fail_once(optimizer, where)
    net(batch()).square().mean().backward()
    with pytest.raises(Boom):
        optimizer.step()
    assert groups_of(optimizer) == before
    assert groups_of(copy.deepcopy(optimizer))[0].keys() == before[0].keys()
    assert [g["weight_decay"] for g in optimizer.state_dict()["param_groups"]] == [g["weight_decay"] for g in before]
    optimizer.load_state_dict(optimizer.state_dict())
    pickle.loads(pickle.dumps(optimizer))
    extra = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer.add_param_group({"params": [extra]})
    optimizer.step()
    assert len(optimizer.param_groups) == len(before) + 1


@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.L1(LAM), rt.GroupLasso(LAM), rt.L1L2(LAM, LAM)], ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("where", ["before", "inside"])
def test_a_step_tried_again_has_the_penalty_once(net: nn.Module, rule: rt.Penalty, fused: bool, where: str):
    twin = copy.deepcopy(net)
    ours, theirs = SGD(net.parameters(), lr=0.1, fused=fused), SGD(twin.parameters(), lr=0.1)
    attached(net, ours, rule)
    fail_once(ours, where)
    net(batch()).square().mean().backward()
    with pytest.raises(Boom):
        ours.step()
    ours.step()
    (twin(batch()).square().mean() + rule.on(twin)()).backward()
    theirs.step()
    torch.testing.assert_close(list(net.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)
    for zero in (True, False):  # with new gradients it acts again
        for model, optimizer in ((net, ours), (twin, theirs)):
            optimizer.zero_grad(set_to_none=zero)
            loss = model(batch(1)).square().mean()
            (loss if model is net else loss + rule.on(twin)()).backward()
            optimizer.step()
    torch.testing.assert_close(list(net.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)


def test_weights_without_a_gradient_are_penalised_too(net: nn.Module):
    net[2].weight.grad = None
    before = net[2].weight.detach().clone()
    optimizer = SGD(net.parameters(), lr=0.5, fused=True)
    attached(net, optimizer, rt.L2(LAM))
    net[0](batch()).square().mean().backward()
    optimizer.step()
    torch.testing.assert_close(net[2].weight.detach(), before * (1 - 0.5 * 2 * LAM))


def test_a_gradient_that_is_one_number_for_all(net: nn.Module):
    before = net[2].weight.detach().clone()
    optimizer = SGD(net.parameters(), lr=0.5, fused=True)
    attached(net, optimizer, rt.L2(LAM))
    net[2].weight.grad = torch.ones((), dtype=torch.float64).expand(3, 4)
    optimizer.step()
    torch.testing.assert_close(net[2].weight.detach(), before - 0.5 * (2 * LAM * before + 1))


def test_who_is_lent_to(net: nn.Module):
    class Mine(Adam):
        """Its step may be another."""

    weights = list(net.parameters())
    assert all(lends_decay(make(weights)) for make in FUSED.values())
    for optimizer in (Adam(weights), AdamW(weights, fused=True), Mine(weights, fused=True), SGD(weights, foreach=True)):
        assert not lends_decay(optimizer)
    assert not lends_decay(Adam(weights, fused=True, decoupled_weight_decay=True))
    assert not lends_decay(SGD([{"params": weights[:1], "fused": True}, {"params": weights[1:]}]))


def fused_sgd_is_right(dtype: torch.dtype) -> bool:
    """Torch 2.9's own is not on a CPU in half precision."""
    w = nn.Parameter(torch.zeros(64, 8, dtype=dtype))
    w.grad = torch.ones_like(w)
    SGD([w], lr=0.5, fused=True).step()
    return bool((w == -0.5).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_scaled_gradient_is_not_unscaled_twice(dtype: torch.dtype):
    if not fused_sgd_is_right(dtype):
        pytest.skip(f"fused SGD of torch {torch.__version__} is wrong in {dtype}")
    w = nn.Parameter(torch.randn(64, 8).to(dtype))
    model = nn.ParameterDict({"w": w})
    start = w.detach().double()
    optimizer = SGD([w], lr=0.5, fused=True)
    rt.L2(LAM, select="name:w").on(model).attach(optimizer)
    w.grad = torch.full_like(w, 256.0)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(256.0), torch.tensor(0.0)
    optimizer.step()
    expected = (start - 0.5 * (1 + 2 * LAM * start)).to(dtype)
    torch.testing.assert_close(w.detach(), expected)


@pytest.mark.parametrize("make", FUSED.values(), ids=FUSED)
@pytest.mark.filterwarnings("ignore:.*and the weight_decay of Adam both act")
def test_few_numbers_are_added_to_the_gradient(net: nn.Module, make: Any, monkeypatch: pytest.MonkeyPatch):
    """A second param group would cost more than that; a group's step is the same."""
    monkeypatch.undo()
    other = copy.deepcopy(net)
    ours, theirs = make(net.parameters()), make(other.parameters())
    attached(net, ours, rt.L2(LAM))
    reg = rt.L2(LAM).on(other)
    for _ in range(3):
        for model, optimizer in ((net, ours), (other, theirs)):
            optimizer.zero_grad()
            model(batch()).square().mean().backward()
        tasks = net[2].weight.grad.clone()
        reg.add_grad_()
        ours.step()
        theirs.step()
        assert torch.equal(net[2].weight.grad, other[2].weight.grad)
        assert not torch.equal(net[2].weight.grad, tasks)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), other.parameters(), strict=True))
