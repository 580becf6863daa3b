"""L1 by its gradient jumps over zero; by a proximal step it stays there."""

from __future__ import annotations

import torch
from torch import nn

import regtorch as rt
from concepts.sheet import panels
from regtorch.plot.panel import Axis, Panel, Series, look

__all__ = ["drawn"]

_STEPS, _SHOWN = 120, 60
_INPUTS, _NEEDED = 40, 5


def drawn() -> str:
    ways = {"the gradient of L1": False, "a proximal step": True}
    weights, zeros = [], []
    for number, (label, proximal) in enumerate(ways.items()):
        weight, zero = _trained(proximal)
        weights.append(Series(range(_SHOWN), weight[:_SHOWN], label, look(1 - number), ("--", "-")[number]))
        zeros.append(Series(range(_STEPS), zero, label, look(1 - number), ("--", "-")[number]))
    return panels(
        "proximal",
        [
            Panel("A weight that is not needed", "", Axis("step"), Axis("w"), weights),
            Panel("Exact zeros", "", Axis("step"), Axis("share of the weights", low=-0.02), zeros),
        ],
    )


def _trained(proximal: bool) -> tuple[list[float], list[float]]:
    torch.manual_seed(1)
    x = torch.randn(200, _INPUTS)
    y = x[:, :_NEEDED].sum(1, keepdim=True) + 0.1 * torch.randn(200, 1)
    net = nn.Linear(_INPUTS, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    reg = rt.L1(0.1).on(net)
    reg.attach(optimizer, proximal=proximal)
    one, zeros = [], []
    for _ in range(_STEPS):
        one.append(net.weight[0, -1].item())
        zeros.append(reg.sparsity()["weight"])
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()
    return one, zeros
