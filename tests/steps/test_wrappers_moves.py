"""Weights that a wrapper moves without a step of the optimizer inside: who is warned, and when constraints hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_wrappers import LAM, Wrapper
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

import regtorch as rt
from nets import dense


class MovesWeights(SGD):
    """Steps by a method that runs no hooks."""

    @torch.no_grad()
    def advance(self) -> None:
        for p in self.param_groups[0]["params"]:
            p.data.sub_(p.grad, alpha=0.1)


@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.MaxNorm(0.1)], ids=str)
def test_weights_that_move_without_a_step_are_warned_of_once(rule: Any):
    model, x, y = dense()
    optimizer = MovesWeights(model.parameters(), lr=0.1)
    rule.on(model).attach(optimizer)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
        optimizer.advance()
    with pytest.warns(UserWarning, match=r"has not acted: its weights change, but the MovesWeights"):
        F.cross_entropy(model(x), y).backward()
    optimizer.advance()
    F.cross_entropy(model(x), y).backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_who_steps_late_accumulates_or_changes_optimizers_is_not_warned():
    model, x, y = dense()
    optimizer, other = SGD(model.parameters(), lr=0.1), SGD(model.parameters(), lr=0.1)
    reg = rt.L2(LAM).on(model)
    reg.attach(optimizer)
    reg.attach(other)
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
    optimizer.step()
    for _ in range(3):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    other.step()
    F.cross_entropy(model(x), y).backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_the_watch_ends_with_the_rule():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.1)
    handle = rt.L2(LAM).on(model).attach(optimizer)
    assert any(p._post_accumulate_grad_hooks for p in model.parameters())
    handle.remove()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_the_watch_ends_with_the_optimizer():
    model, x, _ = dense()
    rt.L2(LAM).on(model).attach(SGD(model.parameters(), lr=0.1))
    model(x).sum().backward()
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


class SlowSteps:
    """Look-ahead: every second step halfway back to where it came from."""

    def wrap(self, inner: Optimizer) -> None:
        self.optimizer, self.count = inner, 0
        self.slow = [p.detach().clone() for g in inner.param_groups for p in g["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.optimizer.step(closure)
        self.count += 1
        if self.count % 2 == 0:
            parameters = (p for g in self.optimizer.param_groups for p in g["params"])
            for p, slow in zip(parameters, self.slow, strict=True):
                p.copy_(slow.lerp_(p, 0.5))


class Slow(SlowSteps, Optimizer):
    """An optimizer itself, whose step runs hooks."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.wrap(inner)


class SlowWithoutHooks(SlowSteps):
    """No optimizer."""

    def __init__(self, inner: Optimizer) -> None:
        self.wrap(inner)


def test_constraints_hold_after_the_wrappers_step():
    model, x, y = dense()
    outer = Slow(SGD(model.parameters(), lr=0.1))
    constraint = rt.MaxNorm(0.1).on(model)
    handle = constraint.attach(outer)
    for _ in range(4):
        F.cross_entropy(model(x), y).backward()
        outer.step()
        assert constraint.violation() < 1e-12
    handle.remove()
    assert not outer._optimizer_step_post_hooks


class SlowInTwoSteps(Slow):
    """Runs hooks in a step that nobody calls, as SAM may."""

    def second_step(self) -> None:
        SlowSteps.step(self)


@pytest.mark.parametrize(("kind", "step"), [(SlowWithoutHooks, "step"), (SlowInTwoSteps, "second_step")])
def test_where_the_wrapper_runs_no_hooks_a_violated_constraint_is_warned_of(kind: Any, step: str):
    model, x, y = dense()
    outer = kind(SGD(model.parameters(), lr=0.1))
    rt.MaxNorm(0.1).on(model).attach(outer)
    for number in range(8):
        F.cross_entropy(model(x), y).backward()
        if number == 2:
            with pytest.warns(UserWarning, match=f"the {kind.__name__} moved them after the projection"):
                getattr(outer, step)()
        else:
            getattr(outer, step)()


def test_where_a_wrapper_moves_nothing_there_is_no_warning():
    model, x, y = dense()
    inner = SGD(model.parameters(), lr=0.1)
    rt.MinMaxNorm(0.1, 0.2, 0.5).on(model).attach(Wrapper("optimizer", inner))
    for _ in range(8):
        F.cross_entropy(model(x), y).backward()
        inner.step()
