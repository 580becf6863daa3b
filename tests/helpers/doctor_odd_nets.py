"""Odd nets, any of which may be given to the doctor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from doctor_patients import Then, changed, filled

__all__ = ["NETS"]


def mlp(*behind: nn.Module, out: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, out), *behind)


def after(change: Callable[[Any], Any]) -> Callable[[], nn.Module]:
    return lambda: Then(mlp(), change)


def scaled(factor: float) -> Callable[[], nn.Module]:
    return lambda: changed(mlp(), lambda model: [p.mul_(factor) for p in model.parameters()])


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.linear = nn.Parameter(torch.randn(6, 4, dtype=torch.complex64)), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.complex64) @ self.weight).abs() + self.linear(x)


class Sometimes(nn.Module):
    """Raises an error in each so many calls."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.linear, self.every, self.calls = nn.Linear(6, 4), every, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls % self.every == 0:
            raise RuntimeError("now and then")
        return self.linear(x)


class Inference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Modes(Inference):
    def train(self, mode: bool = True) -> Modes:
        raise KeyError("mode")


def traced() -> nn.Module:
    found: Any = torch.jit.trace(mlp(), torch.zeros(2, 6))
    return found


def with_weight(weight: Tensor) -> nn.Module:
    model = mlp()
    model.register_parameter("weight", nn.Parameter(weight))
    return model


class Growing(nn.Module):
    """Gets a layer at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "more"):
            self.more = nn.Linear(4, 4)
        return self.more(self.linear(x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()))


def indexed(inner: nn.Module) -> nn.Module:
    return Then(inner, lambda o: o.mean(1) if o.ndim > 2 else o, lambda x: x.long().abs() % 10)


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "one output": lambda: mlp(out=1),
    "flat": lambda: mlp(nn.Flatten(0), out=1),
    "softmax": lambda: mlp(nn.Softmax(1)),
    "softmax of one": lambda: mlp(nn.Softmax(1), out=1),
    "log-softmax": lambda: mlp(nn.LogSoftmax(1)),
    "sigmoid": lambda: mlp(nn.Sigmoid(), out=1),
    "relu": lambda: mlp(nn.ReLU()),
    "gates": lambda: nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 4)),
    "batch norm, dropout": lambda: nn.Sequential(
        nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)
    ),
    "group norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.GroupNorm(2, 8), nn.Linear(8, 4)),
    "all dropped": lambda: mlp(nn.Dropout(1.0)),
    "times 0": after(lambda o: o * 0),
    "times NaN": after(lambda o: o * math.nan),
    "complex": Complex,
    "raises later": lambda: Sometimes(3),
    "raises much later": lambda: Sometimes(40),
    "grows": Growing,
    "none": after(lambda o: None),
    "a number": after(lambda o: o.mean()),
    "a float": after(lambda o: o.sum().item()),
    "whole numbers": after(lambda o: o.long()),
    "yes or no": after(lambda o: o > 0),
    "a tuple": after(lambda o: (o, o)),
    "a dict": after(lambda o: {"a": o}),
    "detached": after(lambda o: o.detach()),
    "three dims": after(lambda o: o[:, :, None].expand(-1, -1, 3)),
    "no outputs": after(lambda o: o[:, :0]),
    "no units": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 0), nn.ReLU(), nn.Linear(0, 4)),
    "no parameters": nn.Flatten,
    "frozen": lambda: mlp().requires_grad_(False),
    "half": lambda: mlp().half(),
    "bfloat16": lambda: mlp().bfloat16(),
    "double": lambda: mlp().double(),
    "huge": scaled(1e18),
    "too large": scaled(1e37),
    "tiny": scaled(1e-30),
    "denormal": lambda: changed(mlp(), filled(1e-42)),
    "zeros": lambda: changed(mlp(), filled(0.0)),
    "ones": lambda: changed(mlp(), filled(1.0)),
    "NaN": lambda: changed(mlp(), filled(math.nan)),
    "tied": Tied,
    "sparse": lambda: indexed(nn.Embedding(10, 4, sparse=True)),
    "embedding": lambda: indexed(nn.Embedding(10, 4)),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.Linear(8, 4)),
    "in place": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 4), nn.ReLU(inplace=True)),
    "meta": lambda: nn.Linear(6, 4, device="meta"),
    "lazy": lambda: nn.LazyLinear(4),
    "scripted": lambda: torch.jit.script(mlp()),
    "traced": traced,
    "mapped": lambda: Then(nn.Linear(4, 4), lambda o: o, torch.func.vmap(nn.Linear(6, 4))),
    "inference inside": lambda: Inference(),
    "modes that raise": lambda: Modes(),
    "an empty weight": lambda: with_weight(torch.zeros(0, 3)),
}
