"""Small trainings that can be done on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt

__all__ = ["OPTIMIZERS", "attached", "batches", "net", "there", "train"]

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "Adam": (torch.optim.Adam, {"lr": 0.01}),
    "AdamW": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.0}),
    "Adagrad": (torch.optim.Adagrad, {"lr": 0.01}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 0.01}),
}


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5)).double()


def batches(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(4)
    return [(torch.randn(6, 3, 4, 4).double(), torch.randint(5, (6,))) for _ in range(count)]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 4) -> nn.Module:
    for x, y in batches(count):
        optimizer.zero_grad()
        p = next(model.parameters())
        F.cross_entropy(model(x.to(p)), y.to(p.device)).backward()
        optimizer.step()
    return model


def usual(model: nn.Module) -> list[Any]:
    return [rt.L2(0.01).on(model), rt.L1(0.001).on(model), rt.GroupLasso(0.001).on(model), rt.MaxNorm(0.9).on(model)]


def attached(model: nn.Module, make: Any, settings: dict[str, Any], **more: Any) -> torch.optim.Optimizer:
    optimizer = make(model.parameters(), **settings, **more)
    for bound in usual(model):
        bound.attach(optimizer)
    return optimizer


def there(model: nn.Module, like: nn.Module) -> list[Tensor]:
    return [p.detach().to(q) for p, q in zip(model.parameters(), like.parameters(), strict=True)]
