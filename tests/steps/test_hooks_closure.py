"""Optimizers that run a closure: when the gradient is added, and when it is not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from nets import dense


def test_a_closure_may_come_by_name_or_position():
    for by_name in (True, False):
        model, x, y = dense()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        rt.L2(0.1).on(model).attach(optimizer)
        twin, *_ = dense()
        other = torch.optim.SGD(twin.parameters(), lr=0.1)
        reg = rt.L2(0.1).on(twin)

        def closure(model: nn.Module = model, optimizer: Any = optimizer, x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(3):
            loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
            other.zero_grad()
            task = F.cross_entropy(twin(x), y)
            (task + reg()).backward()
            other.step()
            torch.testing.assert_close(loss, task)  # the closure's own loss comes back
        torch.testing.assert_close(list(model.parameters()), list(twin.parameters()), rtol=1e-14, atol=1e-14)


def after_one_step(returns: bool) -> nn.Module:
    model, x, y = dense()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    rt.L2(0.3).on(model).attach(optimizer)

    def closure() -> Tensor | None:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss if returns else None

    optimizer.step(closure)
    return model


def test_a_closure_may_return_nothing():
    for p, q in zip(after_one_step(True).parameters(), after_one_step(False).parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_closure_that_leaves_a_batch_out_takes_no_step():
    model, _, _ = dense()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    rt.L2(0.3).on(model).attach(optimizer)
    optimizer.step(lambda: None)  # as Lightning's, when training_step returns None
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
