"""Three ways to a penalty's gradient, each on a new net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt

Net = Callable[[], tuple[nn.Module, Tensor, Tensor]]
close = torch.testing.assert_close


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def way_1(net: Net, rule: rt.Penalty) -> dict[str, Tensor]:
    model, x, y = net()
    reg = rule.on(model)
    (F.cross_entropy(model(x), y) + reg()).backward()
    return gradients(model)


def way_2(net: Net, rule: rt.Penalty, foreach: bool | None = None) -> dict[str, Tensor]:
    model, x, y = net()
    reg = rule.on(model)
    F.cross_entropy(model(x), y).backward()
    reg.add_grad_(foreach=foreach)
    return gradients(model)


def way_3(net: Net, rule: rt.Penalty) -> dict[str, Tensor]:
    model, x, y = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    rule.on(model).attach(optimizer)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    return gradients(model)
