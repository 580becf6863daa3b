"""Whole training steps beside those made by their parts, on small nets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F
from torch.optim import Optimizer

import regtorch as rt
from cases import CONSTRAINTS, PENALTIES

Make = Callable[[Iterable[Tensor]], Optimizer]
Rules = list[tuple[Any, dict[str, Any]]]
MOST = 1e-12
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam fused": lambda p: optim.Adam(p, 0.01, fused=True),
    "AdamW amsgrad": lambda p: optim.AdamW(p, 0.01, amsgrad=True, weight_decay=0.0),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, 0.1, lr_decay=0.01),
}
TAKEN: dict[str, Rules] = {
    "none": [],
    "L2": [(rt.L2(0.1), {})],
    "L1 and a schedule": [(rt.L1(0.1), {"schedule": rt.schedules.warmup(7)})],
    "L1L2, proximal": [(rt.L1L2(0.1, 0.2), {"proximal": True})],
    "GroupLasso": [(rt.GroupLasso(0.1), {})],
    "GroupLasso, proximal": [(rt.GroupLasso(0.1), {"proximal": True})],
    "MaxNorm": [(rt.MaxNorm(0.5), {})],
    "Box and L2SP": [(rt.Box(-0.3, 0.3), {}), (rt.L2SP(0.1), {})],
}
NONE: Rules = []
RULES = {name: case.rule for name, case in {**PENALTIES, **CONSTRAINTS}.items()}


class Tied(nn.Module):
    """Weights of every kind: shared, frozen, unused."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight
        self.frozen, self.unused = nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(self.frozen(x))))))


NETS: dict[str, Callable[[], nn.Module]] = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)),
    "norms": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 3)
    ),
    "tied": Tied,
}


def batches(count: int, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(count * size, 6, generator=g, dtype=torch.float64)
    return list(zip(x.split(size), x[:, :3].argmax(1).split(size), strict=True))


def pair(
    make: Make, rules: Rules = NONE, net: Callable[[], nn.Module] = NETS["dense"], loss: Any = F.cross_entropy
) -> tuple[Any, Any, list[nn.Module], list[Optimizer]]:
    """A compiled step and one by its parts of equal nets."""
    torch.manual_seed(0)
    one = net().double()
    nets = [one, copy.deepcopy(one)]
    optimizers = [make(list(n.parameters())) for n in nets]
    for n, optimizer in zip(nets, optimizers, strict=True):
        for rule, how in rules:
            rule.on(n).attach(optimizer, **how)

    def by_parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        optimizers[1].zero_grad()
        outputs = nets[1](x)
        value = loss(outputs, y)
        value.backward()
        optimizers[1].step()
        return value.detach(), outputs

    return rt.compile_step(nets[0], loss, optimizers[0]), by_parts, nets, optimizers


def assert_alike(nets: list[nn.Module], optimizers: list[Optimizer]) -> None:
    one, other = (dict(n.state_dict()) for n in nets)
    assert all(torch.allclose(value, other[name], rtol=0, atol=MOST) for name, value in one.items())
    states = [o.state_dict()["state"] for o in optimizers]
    for index, state in states[0].items():
        assert all(
            torch.allclose(v, states[1][index][name], rtol=0, atol=MOST) for name, v in state.items() if v is not None
        )


def train(step: Any, by_parts: Any, data: list[tuple[Tensor, Tensor]]) -> None:
    for x, y in data:
        (loss, outputs), (expected, of_parts) = step(x, y), by_parts(x, y)
        assert torch.allclose(loss, expected, rtol=0, atol=MOST)
        assert torch.allclose(outputs, of_parts, rtol=0, atol=MOST)
        assert not loss.requires_grad
        assert not outputs.requires_grad
