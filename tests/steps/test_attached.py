"""What the rules of one optimizer know from one step to the next, and what they must not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

import regtorch as rt
from nets import dense

close = torch.testing.assert_close


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("proximal", [False, True], ids=["gradient", "proximal"])
def test_weights_that_an_optimizer_got_later_are_missed_when_they_are_replaced(fused: bool, proximal: bool):
    model, x, y = dense()
    optimizer = SGD(model[0].parameters(), lr=0.1, fused=fused)
    total = rt.L2(0.1).on(model[0]) + rt.L2(0.2).on(model[2])
    total.attach(optimizer, proximal=proximal)
    optimizer.add_param_group({"params": list(model[2].parameters())})
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    model[2].weight = nn.Parameter(model[2].weight.detach().clone())
    F.cross_entropy(model(x), y).backward()
    with pytest.raises(RuntimeError, match=r"L2\(lam=0.2\).* no longer finds its weights"):
        optimizer.step()


def test_a_rule_that_was_taken_off_is_forgotten():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    rt.L2(0.1, select="bias").on(model).attach(optimizer)  # stays
    first = rt.L2(0.1).on(model[0])
    handle = first.attach(optimizer)
    optimizer.step()
    handle.remove()
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())
    total = first + rt.L2(0.2).on(model[2])  # of a sum each term acts where its weights are owned
    total.attach(optimizer)
    before = model[0].weight.detach().clone()
    optimizer.step()
    close(model[0].weight.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize("rule", [rt.L2(0.1), rt.L1(0.1), rt.GroupLasso(0.1)], ids=str)
def test_a_gradient_that_is_kept_gets_the_penalty_at_each_step(rule: rt.Penalty):
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.0)
    rule.on(model).attach(optimizer)
    F.cross_entropy(model(x), y).backward()
    task = model[0].weight.grad.clone()
    for step in (1, 2, 3):
        optimizer.step()
        close(model[0].weight.grad, task + step * rule.grad(model[0].weight))


def test_weights_that_the_user_moves_between_steps_are_no_wrappers_doing():
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    constraint = rt.MaxNorm(0.1).on(model)
    constraint.attach(optimizer)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # a warning is an error here
        assert constraint.violation() < 1e-12
        model.load_state_dict(dense()[0].state_dict())


class Scaled(SGD):
    """Its step has an argument before the closure."""

    def step(self, size: float, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            group["lr"] = size
        return super().step(closure)


@pytest.mark.parametrize("by_name", [False, True])
def test_the_other_arguments_of_a_step_are_handed_on(by_name: bool):
    results = []
    for way in (1, 3):
        model, x, y = dense()
        optimizer = Scaled(model.parameters(), lr=0.0)
        reg = rt.L1(0.1).on(model)
        if way == 3:
            reg.attach(optimizer)

        def closure(model: nn.Module = model, reg: Any = reg, way: int = way, x: Tensor = x, y: Tensor = y) -> Tensor:
            model.zero_grad()
            task = F.cross_entropy(model(x), y)
            (task + reg() if way == 1 else task).backward()
            return task

        for size in (0.1, 0.2):
            if by_name:
                optimizer.step(size, closure=closure)
            else:
                closure()
                optimizer.step(size)
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("how", ["new gradients", "zeroed ones"])
def test_a_step_that_raised_and_is_tried_again_with_other_gradients_has_the_penalty(how: str):
    model, x, y = dense()
    twin, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    reg = rt.L1(0.1).on(model)
    reg.attach(optimizer)
    fails = optimizer.register_step_pre_hook(lambda *_: 1 / 0)
    F.cross_entropy(model(x), y).backward()
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    fails.remove()
    optimizer.zero_grad(set_to_none=how == "new gradients")
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    (F.cross_entropy(twin(x), y) + rt.L1(0.1).on(twin)()).backward()
    SGD(twin.parameters(), lr=0.1).step()
    close(list(model.parameters()), list(twin.parameters()), rtol=1e-12, atol=1e-14)


def test_a_fused_step_leaves_nothing_on_the_optimizer_and_makes_one_class():
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.1, fused=True)
    rt.L2(0.1).on(model).attach(optimizer)
    before, kinds = set(vars(optimizer)), set()
    optimizer.register_step_pre_hook(lambda _, args, kwargs: kinds.add(type(args[0])))
    for _ in range(2):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert set(vars(optimizer)) == before
    assert len(kinds) == 1


def test_a_step_whose_arguments_were_replaced_is_no_matter_of_the_next_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("regtorch.bound.penalty.LEAST_LENT", 0)
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.1, fused=True)
    reg = rt.L2(0.1).on(model)
    reg.attach(optimizer)
    replaces = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o,), {}))
    F.cross_entropy(model(x), y).backward()
    with pytest.raises(RuntimeError, match="replaced the arguments of the step"):
        optimizer.step()
    replaces.remove()
    reg.scale = 0.0
    optimizer.step()


RULES = {
    "gradient": lambda model, optimizer: rt.L2(0.1).on(model).attach(optimizer),
    "proximal": lambda model, optimizer: rt.L1(0.1).on(model).attach(optimizer, proximal=True),
    "constraint": lambda model, optimizer: rt.MaxNorm(0.5).on(model).attach(optimizer),
}


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("what", ["layer", "weight"])
def test_one_of_several_weights_that_is_replaced_is_missed_before_the_step(how: str, fused: bool, what: str):
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.1, fused=fused)
    RULES[how](model, optimizer)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    old = model[2]
    if what == "layer":
        model[2] = nn.Linear(old.in_features, old.out_features).to(x)
    else:
        old.weight = nn.Parameter(old.weight.detach().clone())
    before = [p.detach().clone() for p in model.parameters()]
    F.cross_entropy(model(x), y).backward()
    with pytest.raises(RuntimeError, match=r"no longer finds the weight 2\.weight in this SGD: .*attach again"):
        optimizer.step()
    close([p.detach() for p in model.parameters()], before, rtol=0, atol=0)


@pytest.mark.parametrize("how", RULES)
def test_a_replaced_weight_that_the_optimizer_does_not_own_or_that_is_frozen_is_no_matter(how: str):
    model, x, y = dense()
    optimizer = SGD([*model[0].parameters(), *model[4].parameters()], lr=0.1)
    RULES[how](model, optimizer)
    model[2].weight = nn.Parameter(model[2].weight.detach().clone())  # another optimizer's
    model[4].weight = nn.Parameter(model[4].weight.detach().clone(), requires_grad=False)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.mark.parametrize("how", RULES)
def test_a_weight_that_went_to_another_optimizer_is_no_matter(how: str):
    model, x, y = dense()
    first, second = (SGD(model[i].parameters(), lr=0.1) for i in (0, 4))
    first.add_param_group({"params": list(model[2].parameters())})
    for optimizer in (first, second):
        RULES[how](model, optimizer)
    second.add_param_group(first.param_groups.pop())
    F.cross_entropy(model(x), y).backward()
    first.step()
    second.step()


@pytest.mark.parametrize("how", ["gradient", "proximal"])
def test_a_new_layer_joins_after_it_was_given_to_the_optimizer(how: str):
    model, x, y = dense()
    optimizer = SGD(model.parameters(), lr=0.0)
    RULES[how](model, optimizer)
    model[2] = nn.Linear(model[2].in_features, model[2].out_features).to(x)
    optimizer.add_param_group({"params": list(model[2].parameters())})
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
