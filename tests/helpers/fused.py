"""A net whose penalties a fused optimizer takes over as weight decay, and what its optimizer shows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

import regtorch as rt

__all__ = ["LAM", "attached", "batch", "groups_of", "three_layers"]

LAM = 0.3


def three_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def batch(step: int = 0) -> Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)


def groups_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [{**group, "params": [id(p) for p in group["params"]]} for group in optimizer.param_groups]


def attached(net: nn.Module, optimizer: Optimizer, *rules: rt.Penalty) -> list[Any]:
    bound = [rule.on(net) for rule in rules]
    for one in bound:
        one.attach(optimizer)
    return bound
