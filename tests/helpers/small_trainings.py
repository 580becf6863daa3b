"""Small trainings, recorded as Keras prints them: the loop, the data, the nets.

A training loss is a mean over the epoch in training mode, and losses include the penalty. MNIST, notMNIST and the
reviews are read from ../shared/data.
"""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data_files import SHARED_DATA

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""Inputs and targets of training and validation."""


@dataclass
class Training:
    """A net, its data and its loop."""

    net: nn.Module
    data: Parts
    classes: int = 10  # 0: a regression
    rate: float = 1e-3
    sgd: bool = False
    epochs: int = 20
    batch: int = 32
    penalty: Callable[[nn.Module], Tensor] | None = None
    rates: Callable[[int], float] = lambda _: 1.0  # a factor of the rate, by epoch from 0
    augment: Callable[[Tensor], Tensor] = lambda x: x
    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    def run(self) -> dict[str, list[float]]:
        """The series; a value that is not finite is NaN."""
        x, y, vx, vy = self.data
        optimizer: Any = (torch.optim.SGD if self.sgd else torch.optim.Adam)(self.net.parameters(), lr=self.rate)
        loss_fn = self.loss or (F.cross_entropy if self.classes else F.mse_loss)
        found: dict[str, list[float]] = {}
        for epoch in range(self.epochs):
            optimizer.param_groups[0]["lr"] = rate = self.rate * self.rates(epoch)
            total = right = 0.0
            self.net.train()
            for part in torch.randperm(len(x)).split(self.batch):
                out = self.net(self.augment(x[part]))
                loss = loss_fn(out, y[part]) + (self.penalty(self.net) if self.penalty else 0.0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(part)
                right += float((out.argmax(-1) == y[part]).sum()) if self.classes else 0.0
            self.net.eval()
            with torch.no_grad():
                out = self.net(vx)
                held = float(loss_fn(out, vy) + (self.penalty(self.net) if self.penalty else 0.0))
            values = {"loss": total / len(x), "val_loss": held, "lr": rate}
            if self.classes:
                values |= {"accuracy": right / len(x), "val_accuracy": float((out.argmax(-1) == vy).float().mean())}
            for name, value in values.items():
                found.setdefault(name, []).append(value if math.isfinite(value) else math.nan)
        return found


# Data


@cache
def digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


@cache
def images(name: str) -> tuple[Tensor, Tensor]:
    raw = SHARED_DATA / name / "raw"
    x = np.frombuffer(gzip.decompress((raw / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((raw / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return torch.tensor(x.reshape(-1, 784)[:12000] / 255, dtype=torch.float32), torch.tensor(y[:12000].astype(np.int64))


@cache
def reviews() -> tuple[Tensor, Tensor]:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [
        (SHARED_DATA / "rt-polarity" / f"rt-polarity.{end}").read_text("latin-1").splitlines() for end in ("neg", "pos")
    ]
    x = CountVectorizer(max_features=1500, binary=True).fit_transform(texts[0] + texts[1]).toarray()
    y = torch.tensor([0] * len(texts[0]) + [1] * len(texts[1]))
    return torch.tensor(x, dtype=torch.float32), y


def friedman(train: int, val: int, noise: float = 1.0) -> Parts:
    x = torch.rand(train + val, 10)
    y = 10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = ((y - 14.4) / 4.9 + noise / 4.9 * torch.randn(len(y)))[:, None]
    return x[:train], y[:train], x[train:], y[train:]


def split(data: tuple[Tensor, Tensor], train: int, val: int, wrong: float = 0.0) -> Parts:
    """Random parts; a share of the labels is drawn anew."""
    x, y = data
    order = torch.randperm(len(x))
    a, b = order[:train], order[train : train + val]
    y = torch.where(torch.rand(len(y)) < wrong, torch.randint(0, int(y.max()) + 1, y.shape), y)
    return x[a], y[a], x[b], y[b]


# Nets


def mlp(inputs: int, width: int, classes: int = 10, drop: float = 0.0, norm: float | None = None) -> nn.Sequential:
    """Two hidden layers; `norm` is the momentum of batch norms."""
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width), *([nn.BatchNorm1d(width, momentum=norm)] if norm else []), nn.ReLU()]
        layers += [nn.Dropout(drop)] if drop else []
    return nn.Sequential(*layers, nn.Linear(width, classes))


def cnn(width: int, norm: float | None = None) -> nn.Sequential:
    norms = [[nn.BatchNorm2d(n, momentum=norm)] if norm else [] for n in (width, 2 * width)]
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, width, 3, padding=1), *norms[0], nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), *norms[1], nn.ReLU(), nn.Flatten(), nn.Linear(32 * width, 10)),
    )


def squares(lam: float) -> Callable[[nn.Module], Tensor]:
    return lambda net: lam * torch.stack([w.square().sum() for w in net.parameters() if w.ndim > 1]).sum()


def absolute(lam: float) -> Callable[[nn.Module], Tensor]:
    return lambda net: lam * torch.stack([w.abs().sum() for w in net.parameters() if w.ndim > 1]).sum()


def width() -> int:
    return random.choice([24, 32, 48, 64, 96])


def around(value: float, by: float = 1.6) -> float:
    return value * by ** random.uniform(-1, 1)


def classes_of(name: str) -> int | None:
    """The number of classes of a recorded case."""
    if "regression" in name or name.startswith("plateau"):
        return None
    return 2 if any(word in name for word in ("two", "reviews", "softmax")) else 10
