"""One weight in two optimizers: a gradient that holds a rule's part gets it no second time from the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer

import regtorch as rt

WIDTH = 1 << 9  # so that a fused optimizer lends its weight_decay


def net() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, WIDTH, bias=False).double()


def backward(model: nn.Module) -> None:
    torch.manual_seed(1)
    (model(torch.randn(2, WIDTH, dtype=torch.double)) ** 2).mean().backward()


def gradient(model: nn.Linear) -> torch.Tensor:
    """A copy of the weight's."""
    assert model.weight.grad is not None
    return model.weight.grad.clone()


def stepped(attach: Callable[[nn.Module, Optimizer, Optimizer], Any], fused: tuple[bool, bool]) -> torch.Tensor:
    """The weight after one backward pass and a step of each optimizer."""
    model = net()
    first, second = (SGD(model.parameters(), lr=0.1, fused=how) for how in fused)
    attach(model, first, second)
    backward(model)
    first.step()
    second.step()
    return model.weight.detach()


def expected(lent: bool = False) -> torch.Tensor:
    """Two steps by the gradient of loss and penalty; if the first has left no penalty there, by the second's own."""
    model = net()
    backward(model)
    w, g = model.weight.detach(), gradient(model)
    one = w - 0.1 * (g + 0.6 * w)
    return one - 0.1 * (g + 0.6 * (one if lent else w))


def one_rule(model: nn.Module, first: Optimizer, second: Optimizer) -> None:
    reg = rt.L2(0.3).on(model)
    reg.attach(first)
    reg.attach(second)


def equal_rules(model: nn.Module, first: Optimizer, second: Optimizer) -> None:
    rt.L2(0.3).on(model).attach(first)
    rt.L2(0.3).on(model).attach(second)


@pytest.mark.parametrize("fused", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("attach", [one_rule, equal_rules])
def test_both_steps_take_the_rule_once(attach: Any, fused: tuple[bool, bool]):
    torch.testing.assert_close(stepped(attach, fused), expected(fused[0]))


def test_other_rules_are_added():
    def attach(model: nn.Module, first: Optimizer, second: Optimizer) -> None:
        rt.L2(0.1).on(model).attach(first)
        rt.L2(0.1).on(model).attach(second)
        rt.L2(0.2).on(model).attach(second)

    model = net()
    backward(model)
    w, g = model.weight.detach(), gradient(model)
    one = w - 0.1 * (g + 0.2 * w)
    torch.testing.assert_close(stepped(attach, (False, False)), one - 0.1 * (g + 0.2 * w + 0.4 * one))


def test_a_third_optimizer_knows_what_the_first_added():
    model = net()
    optimizers = [SGD(model.parameters(), lr=0.1) for _ in range(3)]
    backward(model)
    w, g = model.weight.detach().clone(), gradient(model)
    for number, optimizer in enumerate(optimizers):
        (rt.L2SP(0.2) if number == 1 else rt.L2(0.1)).on(model).attach(optimizer)
    for optimizer in optimizers:
        optimizer.step()
    one = w - 0.1 * (g + 0.2 * w)
    pulled = g + 0.2 * w + 0.4 * (one - w)
    torch.testing.assert_close(model.weight.detach(), one - 0.2 * pulled)


def test_a_closure_adds_what_the_next_optimizer_leaves_out():
    model = net()
    first, second = LBFGS(model.parameters(), lr=0.1, max_iter=1, max_eval=1), SGD(model.parameters(), lr=0.1)
    one_rule(model, first, second)

    def closure() -> torch.Tensor:
        model.zero_grad()
        backward(model)
        return torch.zeros(())

    first.step(closure)
    before, grad = model.weight.detach().clone(), gradient(model)
    second.step()
    torch.testing.assert_close(model.weight.detach(), before - 0.1 * grad)


@pytest.mark.parametrize("zeroed", [True, False])
def test_a_new_gradient_gets_the_rule_again(zeroed: bool):
    model = net()
    first, second = (SGD(model.parameters(), lr=0.1) for _ in range(2))
    one_rule(model, first, second)
    backward(model)
    first.step()
    if zeroed:
        second.zero_grad()
    backward(model)
    w, g = model.weight.detach().clone(), gradient(model)
    second.step()
    torch.testing.assert_close(model.weight.detach(), w - 0.1 * (g + 0.6 * w))


def test_compiled_passes_leave_it_out_too():
    model = net()
    first, second = (SGD(model.parameters(), lr=0.1) for _ in range(2))
    one_rule(model, first, second)
    rt.fuse(second)
    backward(model)
    first.step()
    second.step()
    torch.testing.assert_close(model.weight.detach(), expected())
