"""Batch norms settle by the formula, in the layers that follow a momentum, and have their own one between batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from plain_modules import STEPS, Plain, batches, fit
from regtorch.app.run.settling import SettleBatchNorm, Settling, momentum_at, settled

OWN = 0.05
ALL = Settling(0)


def a_net(momentum: float | None = OWN, **options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4, momentum=momentum, **options)
    return nn.Sequential(norm, nn.Linear(4, 3)).double()


def norm_of(net: nn.Sequential) -> nn.BatchNorm1d:
    norm = net[0]
    assert isinstance(norm, nn.BatchNorm1d)
    return norm


class Watching(Callback):
    """The momentum where another callback, a validation or a checkpoint may read it."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        self.norm, self.seen = norm, []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen.append(self.norm.momentum)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(self.norm.momentum)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(self.norm.momentum)


@given(
    momentum=st.floats(0.001, 1), count=st.integers(1, 30), samples=st.integers(2, 5), seed=st.integers(0, 2**31 - 1)
)
def test_the_statistics_are_those_of_the_formula(momentum: float, count: int, samples: int, seed: int):
    """In two epochs; while the own momentum is the smaller one, batch j has a weight of (j + 1)(j + 2)(j + 3)."""
    x = torch.randn(2, count, samples, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    norm = nn.BatchNorm1d(4, momentum=momentum).double()
    for epoch in x:
        for number, batch in enumerate(epoch):
            with settled([norm], number):
                norm(batch)
    mean, var = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    for epoch in x:
        for b, batch in enumerate(epoch):
            share = max(momentum, 4 / (b + 4))
            mean = (1 - share) * mean + share * batch.mean(0)
            var = (1 - share) * var + share * batch.var(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, var)
    if 4 / (count + 3) >= momentum:
        j = torch.arange(count, dtype=torch.float64)
        weights = (j + 1) * (j + 2) * (j + 3)
        expected = (weights[:, None] * x[1].mean(1)).sum(0) / weights.sum()
        torch.testing.assert_close(norm.running_mean, expected)
    assert norm.momentum == momentum


@given(own=st.floats(0, 2), batch=st.integers(0, 10**9))
def test_a_momentum_is_never_below_its_own_one_and_the_first_batch_counts_alone(own: float, batch: int):
    assert own <= momentum_at(own, batch) <= max(own, 1)
    assert momentum_at(own, 0) == max(own, 1)


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 3}, {"limit_train_batches": 5}], ids=str)
def test_a_training_counts_the_batches_of_each_epoch(options: dict[str, Any]):
    net = a_net()
    norm, most = norm_of(net), options.get("limit_train_batches", STEPS)
    fit(Plain(net), SettleBatchNorm(ALL), val_check_interval=2, **options)
    expected = nn.BatchNorm1d(4, momentum=OWN).double()
    for _ in range(2):
        for number, (x, _) in list(enumerate(batches()))[:most]:
            expected.momentum = max(OWN, 4 / (number + 4))
            expected(x)
    torch.testing.assert_close(norm.running_mean, expected.running_mean, rtol=0, atol=0)
    torch.testing.assert_close(norm.running_var, expected.running_var, rtol=0, atol=0)
    assert norm.momentum == OWN


def test_validation_and_an_epochs_end_find_the_layers_own_momentum():
    net = a_net()
    watching = Watching(norm_of(net))
    fit(Plain(net), SettleBatchNorm(ALL), watching, val_check_interval=2)
    assert len(watching.seen) > 2 * STEPS
    assert set(watching.seen) == {OWN}


class Failing(Plain):
    def __init__(self, net: nn.Module, error: BaseException) -> None:
        super().__init__(net)
        self.error = error

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int):
        if batch_idx == 2:
            raise self.error
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_error_leaves_the_layers_own_momentum(error: BaseException):
    net = a_net()
    with pytest.raises((ValueError, SystemExit, KeyboardInterrupt)):
        fit(Failing(net, error), SettleBatchNorm(ALL))
    assert norm_of(net).momentum == OWN


def test_an_epoch_that_the_module_ends_leaves_the_layers_own_momentum():
    class Ending(Plain):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 3 else None

    net = a_net()
    watching = Watching(norm_of(net))
    fit(Ending(net), SettleBatchNorm(ALL), watching)
    assert set(watching.seen) == {OWN}


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyBatchNorm1d(momentum=OWN))


FOLLOWING: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "1d": (lambda: nn.BatchNorm1d(3, momentum=OWN), 1),
    "2d": (lambda: nn.BatchNorm2d(3, momentum=OWN), 1),
    "3d": (lambda: nn.BatchNorm3d(3, momentum=OWN), 1),
    "of several processes": (lambda: nn.SyncBatchNorm(3, momentum=OWN), 1),
    "lazy": (lazy, 1),
    "used twice": (lambda: nn.Sequential(*[nn.BatchNorm1d(3, momentum=OWN)] * 2), 1),
    "a cumulative average": (lambda: nn.BatchNorm1d(3, momentum=None), 0),
    "an average that never moves": (lambda: nn.BatchNorm1d(3, momentum=0.0), 0),
    "no running statistics": (lambda: nn.BatchNorm1d(3, momentum=OWN, track_running_stats=False), 0),
    "another norm": (lambda: nn.InstanceNorm2d(3, momentum=OWN, track_running_stats=True), 0),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_the_layers_whose_statistics_follow_a_momentum(name: str):
    make, count = FOLLOWING[name]
    assert len(ALL.layers(make())) == count
    assert Settling(math.inf).layers(make()) == []


@given(momentum=st.floats(0.001, 1), steps=st.integers(1, 4000))
def test_layers_settle_that_need_more_steps_than_an_epoch_has(momentum: float, steps: int):
    net = nn.Sequential(nn.BatchNorm1d(2, momentum=momentum), nn.BatchNorm1d(2, momentum=1.0))
    assert (net[0] in Settling(steps).layers(net)) == (steps < 3 / momentum)


@pytest.mark.filterwarnings("ignore:Found 1 module")
def test_a_frozen_layer_keeps_its_statistics():
    net = a_net()
    norm_of(net).eval()
    before = copy.deepcopy(norm_of(net).state_dict())
    fit(Plain(net), SettleBatchNorm(ALL))
    after = norm_of(net).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in ("running_mean", "running_var"))


@pytest.mark.parametrize(
    ("precision", "layout"), [("bf16-mixed", torch.channels_last), ("32-true", torch.channels_last)]
)
def test_formats_and_precisions(precision: Any, layout: torch.memory_format):
    class Images(Plain):
        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int):
            x, y = batch
            return super().training_step((x.float().view(-1, 1, 2, 2).contiguous(memory_format=layout), y), batch_idx)

        def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int):
            return {"loss": self.training_step(batch, batch_idx)}

    norm = nn.BatchNorm2d(2, momentum=OWN)
    net = nn.Sequential(nn.Conv2d(1, 2, 1), norm, nn.Flatten(), nn.Linear(8, 3)).to(memory_format=layout)
    fit(Images(net), SettleBatchNorm(ALL), precision=precision)
    assert norm.momentum == OWN
    assert norm.running_var is not None
    assert norm.running_var.isfinite().all()
