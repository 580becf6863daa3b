"""A training with `rt.fuse` beside the same one without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense

__all__ = ["check", "kernels", "l1", "mlp"]

Change = Callable[[nn.Module, optim.Optimizer, int], None]


def check(
    build: Callable[[], tuple[nn.Module, Callable[[], Tensor]]],
    rules: Callable[[nn.Module, optim.Optimizer], object],
    change: Change = lambda net, optimizer, step: None,
    make: Callable[[Any], optim.Optimizer] = lambda p: optim.Adam(p, 0.01),
) -> rt.Fused:
    """Train with and without fuse; `change` is called before every step."""
    ends: list[list[Tensor]] = []
    handle: Any = None
    for fused in (False, True):
        torch.manual_seed(0)
        net, loss = build()
        optimizer = make(net.parameters())
        rules(net, optimizer)
        handle = rt.fuse(optimizer) if fused else None
        for step in range(8):
            change(net, optimizer, step)
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        ends.append([p.detach().clone() for p in net.parameters()])
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    return handle


def mlp() -> tuple[nn.Module, Callable[[], Tensor]]:
    net, x, y = dense()
    return net, lambda: F.cross_entropy(net(x), y)


def l1(net: nn.Module, optimizer: optim.Optimizer) -> None:
    rt.L1(0.01).on(net).attach(optimizer)


def kernels(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.ndim == 2]
