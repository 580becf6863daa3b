"""Data and nets of many kinds, in which the doctor's tests plant a fault each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

import regtorch as rt

Batches = list[tuple[Any, Any]]


# Data


def split(x: Any, y: Tensor, size: int = 32) -> Batches:
    return list(zip(x.split(size), y.split(size), strict=True))


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(size: int = 32) -> Batches:
    """20 features, 4 classes."""
    own = drawn(0)
    x = torch.randn(512, 20, generator=own)
    return split(x, (x @ torch.randn(20, 4, generator=own)).argmax(1), size)


def pictures() -> Batches:
    """Noisy templates of 4 classes."""
    own = drawn(1)
    templates, y = torch.randn(4, 3, 8, 8, generator=own), torch.randint(0, 4, (256,), generator=own)
    return split(templates[y] + torch.randn(256, 3, 8, 8, generator=own), y, 16)


def tokens() -> Batches:
    x = torch.randint(0, 50, (512, 10), generator=drawn(2))
    return split(x, (x % 7 == 0).any(1).long())


def series() -> Batches:
    own = drawn(3)
    x = torch.randn(512, 8, 5, generator=own)
    return split(x, (x.sum(1) @ torch.randn(5, 3, generator=own)).argmax(1))


def numbers() -> Batches:
    own = drawn(4)
    x = torch.randn(512, 20, generator=own)
    y = torch.tanh(x @ torch.randn(20, 1, generator=own) / 2) * 3
    return split(x, y + 0.1 * torch.randn(512, 1, generator=own))


def themselves() -> Batches:
    return [(x.sigmoid(), x.sigmoid()) for x, _ in pictures()]


def pixels() -> Batches:
    return [(x, (x.mean(1) > 0.3).long() + (x.mean(1) > 1).long()) for x, _ in pictures()]


def several() -> Batches:
    """Five yes-or-no labels a sample."""
    return [(x, (x[:, :5] > 0).float()) for x, _ in vectors()]


def inputs(change: Callable[[Tensor], Any], of: Callable[[], Batches] = vectors) -> Batches:
    return [(change(x), y) for x, y in of()]


def targets(change: Callable[[Tensor], Any], of: Callable[[], Batches] = vectors) -> Batches:
    return [(x, change(y)) for x, y in of()]


def shuffled(batches: Batches) -> Batches:
    y = torch.cat([y for _, y in batches])
    return split(torch.cat([x for x, _ in batches]), y[torch.randperm(len(y), generator=drawn(9))])


# Nets


def mlp(*behind: nn.Module, out: int = 4, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 64), act(), nn.Linear(64, 64), act(), nn.Linear(64, out), *behind)


def shallow() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))


def conv(norm: Callable[[int], nn.Module] = nn.Identity) -> nn.Sequential:
    first, second = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Conv2d(16, 32, 3, padding=1, bias=False)
    body = first, norm(16), nn.ReLU(), second, norm(32), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))


def bottleneck(*behind: nn.Module) -> nn.Sequential:
    layers = nn.Flatten(), nn.Linear(192, 32), nn.Tanh(), nn.Linear(32, 192), nn.Unflatten(1, (3, 8, 8))
    return nn.Sequential(*layers, *behind)


def per_pixel(*behind: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1), *behind)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm1, self.norm2, self.head = nn.BatchNorm2d(16), nn.BatchNorm2d(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.stem(x)))
        return self.head(F.relu(x + self.norm2(self.body(x))).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM | nn.GRU] = nn.LSTM) -> None:
        super().__init__()
        self.rnn, self.head = kind(5, 32, batch_first=True), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Former(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 2)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embedding(x)).mean(1))


class Then(nn.Module):
    """A net, and a function of its inputs and outputs."""

    def __init__(
        self, inner: nn.Module, after: Callable[[Any], Any] = lambda o: o, before: Callable[[Any], Any] = lambda x: x
    ) -> None:
        super().__init__()
        self.inner, self.after, self.before = inner, after, before

    def forward(self, x: Any) -> Any:
        return self.after(self.inner(self.before(x)))


def changed(model: nn.Module, change: Callable[[Any], object]) -> Any:
    with torch.no_grad():
        change(model)
    return model


def filled(value: float) -> Callable[[nn.Module], object]:
    return lambda model: [p.fill_(value) for p in model.parameters()]


def dropped(*layers: nn.Module, units: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, units), nn.ReLU(), *layers, nn.Linear(units, 4))


# What the doctor says


def diagnosed(
    model: nn.Module, *rules: Any, loss: Any = F.cross_entropy, by: Any = None, batches: Any = None
) -> list[rt.Finding]:
    """Of a net on `vectors` under Adam, but for what is given."""
    optimizer = Adam(model.parameters()) if by is None else by
    return rt.diagnose(model, loss, vectors() if batches is None else batches, optimizer, rules)
