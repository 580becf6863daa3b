"""Steps with scaled gradients, and under autocast."""

from __future__ import annotations

import pytest
import torch
from test_hooks import gradients
from torch import nn
from torch.nn import functional as F

import regtorch as rt
from nets import dense

close = torch.testing.assert_close


@pytest.mark.parametrize("fused", [False, True])
def test_gradient_scaler(fused: bool):
    """A scaled loss, unscaled before the step or, by a fused optimizer, inside it."""
    results = []
    for scaled in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        x = torch.randn(8, 4)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        rules = [rt.L2(0.1), rt.L1(0.2, select="bias"), rt.GroupLasso(0.05)]
        for rule in rules:
            rule.on(model).attach(optimizer)
        for _ in range(5):
            optimizer.zero_grad()
            scaler.scale(model(x).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append(list(model.parameters()))
    close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_a_step_skipped_for_infinite_gradients_shrinks_nothing():
    for fused in (False, True):
        model = nn.Linear(4, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        rt.L1(0.1).on(model).attach(optimizer, proximal=True)
        rt.L2(0.1, select="bias").on(model).attach(optimizer)
        rt.MinMaxNorm(2.0, 3.0, rate=0.5).on(model).attach(optimizer)  # moves weights at each step
        before = [p.detach().clone() for p in model.parameters()]
        scaler.scale(model(torch.full((2, 4), torch.inf)).sum()).backward()
        scaler.step(optimizer)
        close(list(model.parameters()), before, rtol=0, atol=0)


def test_bf16_autocast():
    model, x, y = dense()
    model = model.float()
    reg = rt.Orthogonal(0.1).on(model) + rt.L2(0.1).on(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = reg()
        F.cross_entropy(model(x.float()), y).backward()
        plain = gradients(model)
        reg.add_grad_()
    close(inside, reg())
    assert inside.dtype == torch.float32
    added = [a - b for a, b in zip(gradients(model), plain, strict=True)]
    model.zero_grad()
    reg().backward()
    for a, p in zip(added, model.parameters(), strict=True):
        close(a, torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-4, atol=1e-6)
