"""Odd wrappers: what is said of them, how far a constraint inside one looks after its weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

import regtorch as rt
from nets import dense
from regtorch.steps.hooks import attached_to


class Holder:
    """Whatever it is given, by name."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        ([], "received list$"),
        ({}, "received dict$"),
        ("adam", r"received str; pass an object such as torch\.optim\.Adam\(model\.parameters\(\)\)$"),
        (Holder(optimizers=[1, 2], schedulers={"a": 3}), "received Holder$"),
        (Holder(optimizer=SGD), "received Holder$"),
        (type("Optimizer", (), {"__module__": "somewhere"})(), r"received somewhere\.Optimizer$"),
        (
            Holder(step=print, zero_grad=print),
            r"received Holder; with another library's optimizer call add_grad_\(\) before its steps, or project_\(\)",
        ),
        (
            Holder(kept=(SGD([nn.Parameter(torch.zeros(1))], lr=0.1),)),
            r"received Holder; it holds optimizers in \.kept: attach each of them$",
        ),
        (
            Holder(kept=SGD([nn.Parameter(torch.zeros(1))], lr=0.1)),
            r"received Holder; it holds a SGD as \.kept: attach that, once it is the one that trains$",
        ),
    ],
)
def test_what_is_no_optimizer_is_named_with_the_way_out_if_there_is_one(holder: Any, message: str):
    with pytest.raises(TypeError, match=f"^attach: optimizer must be a torch.optim.Optimizer, {message}"):
        rt.L2(0.1).on(nn.Linear(2, 2)).attach(holder)


def test_a_wrapper_that_holds_itself_is_seen_through():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.5)
    wrapper = Holder(base=optimizer)
    wrapper.optimizer = wrapper
    reg = rt.L2(1.0).on(model)
    reg.attach(wrapper)
    assert attached_to(optimizer) == [reg]
    alone = Holder()
    alone.optimizer = alone
    with pytest.raises(TypeError, match="received Holder$"):
        reg.attach(alone)


def test_one_optimizer_under_two_names_is_one():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.5)
    rt.L2(1.0).on(model).attach(Holder(opt=optimizer, optim=optimizer))
    assert len(attached_to(optimizer)) == 1
    deep = Holder(optimizer=Holder(base=Holder(optim=optimizer)), opt=optimizer)  # shows what lies further in
    rt.L1(1.0).on(model).attach(deep)
    assert len(attached_to(optimizer)) == 2


class MovesAtStep:
    """No optimizer: its own step runs no hooks, and moves weights once."""

    def __init__(self, inner: Optimizer, when: int, by: float) -> None:
        self.optimizer, self.when, self.by, self.count = inner, when, by, 0

    @torch.no_grad()
    def step(self) -> None:
        self.optimizer.step()
        self.count += 1
        if self.count == self.when:
            for p in (p for group in self.optimizer.param_groups for p in group["params"]):
                p.mul_(1 + self.by)


MOVES = [(2, 1e-3, True), (18, 1.0, True), (30, 1.0, False), (2, 1e-9, False)]


@pytest.mark.parametrize(("when", "by", "warned"), MOVES)
def test_a_wrapper_that_moves_weights_is_found_out_in_its_first_twenty_steps(when: int, by: float, warned: bool):
    model, *_ = dense()
    wrapper = MovesAtStep(SGD(model.parameters(), lr=0.0), when, by)
    bound = rt.MaxNorm(0.1).on(model)
    bound.attach(wrapper)
    looked: list[int] = []
    violation = bound.violation
    bound.violation = lambda: looked.append(wrapper.count) or violation()
    for number in range(1, 41):
        if warned and number == when + 1:
            with pytest.warns(UserWarning, match="outside the set: the MovesAtStep moved them after the projection"):
                wrapper.step()
        else:
            wrapper.step()  # a warning is an error here
    assert max(looked) == (when if warned else 20)


class NeverInitialised(Optimizer):
    """An optimizer by its class alone: it has no hooks."""

    def __init__(self, inner: Optimizer) -> None:
        self.base_optimizer, self.param_groups = inner, inner.param_groups
        self.defaults, self.state = inner.defaults, inner.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.base_optimizer.step(closure)
        for p in (p for group in self.param_groups for p in group["params"]):
            p.mul_(2)


def test_all_wrappers_that_may_have_moved_weights_are_named():
    model, *_ = dense()
    inner = NeverInitialised(SGD(model.parameters(), lr=0.0))
    rt.MaxNorm(0.1).on(model).attach(Holder(optimizer=inner))
    inner.step()
    with pytest.warns(UserWarning, match="outside the set: the Holder or NeverInitialised moved them"):
        inner.step()
