"""Steps inside steps, and steps by a closure: the penalty acts once, and who reads the loss reads the sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from test_wrappers import LAM
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Optimizer

import regtorch as rt
from nets import dense

close = torch.testing.assert_close


def loss_of(model: nn.Module, x: Tensor, y: Tensor, reg: Any) -> Tensor:
    task = F.cross_entropy(model(x), y)
    return task if reg is None else task + reg()


def closure_of(optimizer: Optimizer, make_loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = make_loss()
        loss.backward()
        return loss

    return closure


class Clipping(SGD):
    """Does something of its own, then the step of its base class, whose hooks run too."""

    def step(self, closure: Any = None) -> Any:
        nn.utils.clip_grad_norm_([p for g in self.param_groups for p in g["params"]], 0.05)
        return super().step(closure)


class Passing(SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("by_closure", [False, True])
@pytest.mark.parametrize("kind", [Clipping, Passing])
@pytest.mark.parametrize("rule", [rt.L2(LAM), rt.L1(LAM)], ids=str)
def test_nested_steps_have_the_penalty_once(kind: type[SGD], rule: Any, by_closure: bool):
    SGD([nn.Parameter(torch.zeros(2))], lr=0.1)  # torch wraps the base class's step when one is made
    results = []
    for way in (1, 3):
        model, x, y = dense()
        optimizer = kind(model.parameters(), lr=0.1)
        reg = rule.on(model)
        if way == 3:
            reg.attach(optimizer)

        closure = closure_of(optimizer, partial(loss_of, model, x, y, reg if way == 1 else None))

        for _ in range(3):
            if by_closure and kind is Passing:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_a_nested_step_that_raised_leaves_later_steps_their_penalty():
    class Fails(Passing):
        fail = True

        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            if Fails.fail:
                raise ValueError("once")
            return None

    model, *_ = dense()
    optimizer = Fails(model.parameters(), lr=0.5)
    rt.L2(1.0).on(model).attach(optimizer)
    with pytest.raises(ValueError, match="once"):
        optimizer.step()
    Fails.fail = False
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    optimizer.zero_grad()
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15


class Polyak(Optimizer):
    """Steps as far as the loss says."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        size = loss / sum(g.square().sum() for g in grads)
        for p in (p for g in self.param_groups for p in g["params"]):
            p.sub_(p.grad * (0.1 * size))
        return loss


@pytest.mark.parametrize("number", [lambda loss: loss, lambda loss: loss.item()], ids=["tensor", "float"])
def test_an_optimizer_that_reads_the_loss_reads_the_sum(number: Any):
    results = []
    for way in (1, 3):
        model, x, y = dense()
        optimizer = Polyak(model.parameters())
        reg = rt.L2(LAM).on(model)
        if way == 3:
            reg.attach(optimizer)

        closure = closure_of(optimizer, partial(loss_of, model, x, y, reg if way == 1 else None))

        for _ in range(3):
            assert type(optimizer.step(lambda closure=closure: number(closure()))) is type(number(torch.zeros(())))
        results.append([p.detach() for p in model.parameters()])
    close(results[0], results[1], rtol=1e-12, atol=1e-14)
