"""Small trainings in which a number becomes infinite or NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

import regtorch as rt
from bare_trainer import bare_trainer
from regtorch.app.data.arrays import Arrays, Splits
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.ground.silence import quiet
from regtorch.app.run.checkpoints import use_atomic_checkpoints
from regtorch.app.run.diverged import StopWhenDiverged
from regtorch.lightning.tasks import regression
from regtorch.training import RegularizedModule

ROOT = rt.Custom(lambda w: w.square().sum().sqrt(), 0.1, select="all")  # without a gradient at 0


class Numbers(ArraysDataModule):
    """32 samples in batches of 4; one of them may be odd."""

    title = "Numbers"
    images = False
    odd = 0.5

    def load(self) -> Splits:
        x = torch.linspace(0.1, 1.0, 64).reshape(32, 2)
        x[21, 0] = self.odd
        part = Arrays(x, torch.ones(32, 1))
        return Splits(part, part.take(slice(4)), part.take(slice(4)))


class Large(Numbers):
    odd = 1e30


class LargeInValidation(Numbers):
    """Its ninth sample of validation is large."""

    def load(self) -> Splits:
        part = super().load().train
        x = part.images[:12].clone()
        x[9, 0] = 1e30
        return Splits(part, Arrays(x, torch.ones(12, 1)), part.take(slice(4)))


class NaNs(Numbers):
    odd = math.nan


class Zeros(Numbers):
    odd = 0.0


class AllZeros(Numbers):
    def load(self) -> Splits:
        part = super().load().train
        part.images.zero_()
        return Splits(part, part.take(slice(4)), part.take(slice(4)))


class Squares(nn.Sequential):
    """Overflows for a large input."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 4), nn.Dropout(0.2), nn.Linear(4, 1))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.square())


class Roots(nn.Sequential):
    """An infinite gradient at a zero."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 1), nn.Linear(1, 1))

    def forward(self, input: Tensor) -> Tensor:
        first = self[0](input)
        return self[1](torch.where(input[:, :1] == 0, first * 0, first.abs() + 0.1).sqrt())


def zeroed() -> nn.Module:
    layer = nn.Linear(2, 1)
    nn.init.zeros_(layer.bias)
    return layer


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))


def fit(folder: Path, *callbacks: Callback, net: nn.Module, rules: Sequence[Any] = (), **options: Any) -> None:
    """Train with the guard; the options are the trainer's, and `data`, `lr` and `optimizer`."""
    options = {"data": Numbers, "optimizer": torch.optim.SGD, "lr": 0.01, **options}
    data, optimizer, lr = (options.pop(name) for name in ("data", "optimizer", "lr"))
    module = RegularizedModule(net, optimizer=partial(optimizer, lr=lr), task=regression(), penalties=rules)
    guard = StopWhenDiverged(folder, {"seed": 0})
    trainer = bare_trainer(*callbacks, guard, **{"max_epochs": 2, "log_every_n_steps": 10, **options})
    use_atomic_checkpoints(trainer)
    with quiet():
        trainer.fit(module, datamodule=data(num_classes=None, batch_size=4))
