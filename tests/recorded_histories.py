"""Records the trainings of tests/doctor/histories.json: `python tests/recorded_histories.py 0 1 2` for those seeds.

Each case is a small net, healthy or with a fault, whose size, rate and data differ by seed. The series are those that
Keras prints: a training loss is a mean over the epoch in training mode, and losses include the penalty. MNIST, notMNIST
and the reviews are read from ../shared/data.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FILE = Path(__file__).parent / "doctor" / "histories.json"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CASES: dict[str, Callable[[], Training]] = {}
Parts = tuple[Tensor, Tensor, Tensor, Tensor]  # inputs and targets of training and validation


@dataclass
class Training:
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


def case(make: Callable[[], Training]) -> Callable[[], Training]:
    CASES[make.__name__] = make
    return make


# Data


@cache
def digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


@cache
def images(name: str) -> tuple[Tensor, Tensor]:
    raw = DATA / name / "raw"
    x = np.frombuffer(gzip.decompress((raw / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((raw / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return torch.tensor(x.reshape(-1, 784)[:12000] / 255, dtype=torch.float32), torch.tensor(y[:12000].astype(np.int64))


@cache
def reviews() -> tuple[Tensor, Tensor]:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [(DATA / "rt-polarity" / f"rt-polarity.{end}").read_text("latin-1").splitlines() for end in ("neg", "pos")]
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


# Healthy trainings


@case
def healthy_digits() -> Training:
    return Training(mlp(64, width()), split(digits(), 1200, 500), rate=around(1e-3), epochs=random.randint(12, 18))


@case
def healthy_cnn() -> Training:
    return Training(cnn(random.choice([8, 12])), split(digits(), 1200, 500), rate=around(2e-3), epochs=15)


@case
def healthy_norm() -> Training:
    return Training(mlp(784, width(), norm=0.1), split(images("MNIST"), 6000, 3000), rate=around(5e-4), epochs=6)


@case
def healthy_dropout() -> Training:
    return Training(mlp(784, 96, drop=0.2), split(images("MNIST"), 6000, 3000), rate=around(1e-3), epochs=12)


@case
def healthy_l2() -> Training:
    penalty = squares(around(1e-4))
    return Training(mlp(784, width()), split(images("MNIST"), 6000, 3000), penalty=penalty, epochs=12, rate=around(7e-4))


@case
def healthy_sgd() -> Training:
    data = split(images("notMNIST"), 6000, 3000)
    return Training(mlp(784, width()), data, sgd=True, rate=around(0.015), epochs=random.randint(10, 16))


@case
def healthy_cosine() -> Training:
    rates = lambda epoch: 0.5 * (1 + math.cos(math.pi * epoch / 20))  # noqa: E731
    return Training(mlp(64, width()), split(digits(), 1200, 500), sgd=True, rate=around(0.1), epochs=20, rates=rates)


@case
def healthy_regression() -> Training:
    return Training(mlp(10, 32, 1), friedman(4000, 1000), classes=0, rate=around(1e-3), epochs=random.randint(15, 30))


@case
def healthy_two_classes() -> Training:
    x, y = images("MNIST")
    return Training(mlp(784, 32, 2), split((x, y % 2), 6000, 3000), classes=2, rate=around(3e-4), epochs=10)


@case
def healthy_linear() -> Training:
    return Training(nn.Linear(784, 10), split(images("MNIST"), 6000, 3000), rate=around(1e-3), epochs=20)


# Faults


@case
def overfitting_reviews() -> Training:
    return Training(mlp(1500, width(), 2), split(reviews(), 4000, 2000), classes=2, rate=around(1e-3), epochs=12)


@case
def overfitting_letters() -> Training:
    return Training(mlp(784, 96), split(images("notMNIST"), 500, 2000, 0.1), rate=around(1e-3), epochs=30)


@case
def overfitting_labels() -> Training:
    return Training(mlp(64, 96), split(digits(), 400, 1000, 0.3), rate=around(2e-3), epochs=40)


@case
def overfitting_regression() -> Training:
    return Training(mlp(10, 96, 1), friedman(150, 1000, 3.0), classes=0, rate=around(3e-3), epochs=60)


@case
def never_left_chance_rate() -> Training:
    data = split(images("MNIST"), 3000, 1000)
    return Training(mlp(784, width()), data, sgd=True, rate=around(1e-5), epochs=random.randint(5, 15))


@case
def never_left_chance_l2() -> Training:
    return Training(mlp(784, width()), split(images("MNIST"), 3000, 1000), penalty=squares(around(0.3)), epochs=10)


@case
def never_left_chance_labels() -> Training:
    x, y = images("MNIST")
    return Training(mlp(784, 16), split((x, y), 6000, 2000, 1.0), rate=around(3e-4), epochs=5)


@case
def never_left_chance_two() -> Training:
    x, y = images("MNIST")
    data = split((x, y % 2), 3000, 1000)
    return Training(mlp(784, 32, 2, drop=0.5), data, 2, penalty=absolute(around(0.1)), epochs=8)


@case
def constant_loss_dead() -> Training:
    net = mlp(784, width())
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Linear) and layer.out_features != 10:
                layer.bias.fill_(-50.0)
    net[-1].requires_grad_(False)
    return Training(net, split(images("MNIST"), 3000, 1000), epochs=random.randint(4, 10))


@case
def constant_loss_softmax() -> Training:
    x, y = digits()
    data = split((x, (y % 2)), 1200, 500)
    loss = lambda out, target: F.binary_cross_entropy(out.softmax(1).clamp(1e-7, 1 - 1e-7)[:, 0], target.float())  # noqa: E731
    return Training(mlp(64, width(), 1), data, 2, loss=loss, epochs=8)


@case
def penalty_dominates_l2() -> Training:
    return Training(cnn(8, 0.1), split(digits(), 1200, 500), penalty=squares(around(0.02)), epochs=15)


@case
def penalty_dominates_l1() -> Training:
    return Training(mlp(784, 64), split(images("MNIST"), 3000, 1000), penalty=absolute(around(3e-3)), epochs=15)


@case
def penalty_dominates_start() -> Training:
    net = mlp(784, 64)
    with torch.no_grad():
        net[0].weight.normal_(0, 0.3)
    return Training(net, split(images("notMNIST"), 3000, 1000), penalty=squares(around(5e-3)), epochs=10)


@case
def never_left_chance_steps() -> Training:
    return Training(mlp(784, 64), split(images("MNIST"), 3000, 1000), sgd=True, rate=around(3.0), epochs=10)


@case
def diverges_regression() -> Training:
    return Training(mlp(10, 64, 1), friedman(1000, 500), classes=0, sgd=True, rate=around(2.0), epochs=8)


@case
def diverges_later() -> Training:
    rates = lambda epoch: 2.0**epoch  # noqa: E731
    return Training(mlp(64, 64), split(digits(), 1200, 500), sgd=True, rate=around(0.02), epochs=14, rates=rates)


@case
def batch_norm_lag_momentum() -> Training:
    data = split(images("MNIST"), 2000, 2000)
    return Training(mlp(784, 64, norm=around(3e-3)), data, rate=around(3e-3), batch=64, epochs=15)


@case
def batch_norm_lag_rate() -> Training:
    return Training(cnn(8, 0.01), split(digits(), 1000, 700), rate=around(2e-2, 1.3), epochs=15)


@case
def batch_norm_lag_scale() -> Training:
    x, y = images("MNIST")
    return Training(mlp(784, 64, norm=5e-3), split((8 * x + 3, y), 2000, 2000), rate=around(3e-3), batch=64, epochs=15)


@case
def validation_noise_few() -> Training:
    return Training(mlp(784, 48), split(images("notMNIST"), 3000, 40), rate=around(1e-3), epochs=20)


@case
def validation_better_dropout() -> Training:
    return Training(mlp(784, 64, drop=0.6), split(images("MNIST"), 6000, 3000), rate=around(1e-3), epochs=15)


@case
def validation_better_augmented() -> Training:
    noise = lambda x: x * (torch.rand_like(x) > 0.6)  # noqa: E731
    return Training(mlp(784, 64), split(images("MNIST"), 6000, 3000), augment=noise, epochs=12, rate=around(1e-3))


@case
def rate_step_tenth() -> Training:
    data = split(images("notMNIST"), 3000, 2000)
    rates = lambda epoch: 0.05 if epoch >= 12 else 1.0  # noqa: E731
    return Training(mlp(784, 32), data, rate=around(2e-2), epochs=20, rates=rates)


@case
def rate_step_regression() -> Training:
    rates = lambda epoch: 0.05 if epoch >= 20 else 1.0  # noqa: E731
    return Training(mlp(10, 48, 1), friedman(4000, 1000), 0, rate=around(2e-2), epochs=30, rates=rates)


@case
def still_improving_few_epochs() -> Training:
    return Training(mlp(784, 48), split(images("MNIST"), 6000, 3000), sgd=True, rate=around(0.01), epochs=5)


@case
def still_improving_regression() -> Training:
    return Training(mlp(10, 32, 1), friedman(4000, 1000), 0, sgd=True, rate=around(2e-3), epochs=12)


@case
def plateau_linear() -> Training:
    return Training(nn.Linear(10, 1), friedman(4000, 1000), classes=0, rate=around(1e-2), epochs=40)


def recorded(seed: int) -> dict[str, dict[str, list[float]]]:
    found = {}
    for name, make in CASES.items():
        torch.manual_seed(seed)
        random.seed(f"{name} {seed}")
        series = make().run()
        found[f"{name}_{seed}"] = {key: [float(f"{value:.4g}") for value in values] for key, values in series.items()}
        print(f"{name}_{seed}", *(f"{key} {values[0]} … {values[-1]}" for key, values in found[f"{name}_{seed}"].items()), flush=True)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    whole: dict[str, dict[str, list[float]]] = {}
    for seed in map(int, sys.argv[1:]):
        whole |= recorded(seed)
    FILE.write_text(json.dumps(whole).replace('}, "', '},\n"') + "\n", encoding="utf-8")
