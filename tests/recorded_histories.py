"""Records the trainings of tests/doctor/histories.json: `python tests/recorded_histories.py 0 10 20` for those seeds.

Each case is a small net, healthy or with a fault, whose size, rate and data differ by seed.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from small_trainings import (
    Training,
    absolute,
    around,
    cnn,
    digits,
    friedman,
    images,
    mlp,
    reviews,
    split,
    squares,
    width,
)

FILE = Path(__file__).parent / "doctor" / "histories.json"
CASES: dict[str, Callable[[], Training]] = {}


def case(make: Callable[[], Training]) -> Callable[[], Training]:
    CASES[make.__name__] = make
    return make


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
    return Training(
        mlp(784, width()), split(images("MNIST"), 6000, 3000), penalty=penalty, epochs=12, rate=around(7e-4)
    )


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


@case
def healthy_pretrained() -> Training:
    data = split(images("MNIST"), 6000, 3000)
    net = mlp(784, width())
    Training(net, split(images("MNIST"), 3000, 100), epochs=4).run()
    return Training(net, data, rate=around(1e-4), epochs=random.randint(5, 10))


@case
def healthy_letters_dropout() -> Training:
    data = split(images("notMNIST"), 8000, 3000)
    return Training(mlp(784, 96, drop=0.3), data, rate=around(5e-4), epochs=15, penalty=squares(1e-5))


@case
def healthy_shifted() -> Training:
    shift = lambda x: x.view(-1, 8, 8).roll(random.randint(-1, 1), 2).flatten(1)  # noqa: E731
    return Training(cnn(8, 0.1), split(digits(), 1200, 500), rate=around(1e-3), epochs=20, augment=shift)


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
        print(f"{name}_{seed}", flush=True)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    whole: dict[str, dict[str, list[float]]] = {}
    for seed in map(int, sys.argv[1:]):
        whole |= recorded(seed)
    FILE.write_text(json.dumps(whole).replace('}, "', '},\n"') + "\n", encoding="utf-8")
