"""A training that diverged ends with an exit code, a sentence and error.txt, and does not look finished."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bare_trainer import bare_trainer
from command_line import CommandLine
from regtorch.app.ground.errors import Diverged
from regtorch.app.ground.silence import quiet
from regtorch.app.run.diverged import StopWhenDiverged, check_losses
from regtorch.lightning.tasks import regression
from regtorch.training import RegularizedModule

pytestmark = pytest.mark.script


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


SGD, NO_VALIDATION = "optimizer=sgd", ("trainer.limit_val_batches=0", "callbacks=none")
DIVERGED = {
    "a loss": ((SGD, "optimizer.lr=1e38", "trainer.max_epochs=5"), r"became (nan|-?inf) in epoch \d"),
    "a penalty": ((SGD, "reg=l2", "reg.lam=1e36", "trainer.max_epochs=5"), r"became (nan|-?inf) in epoch \d"),
    "a loss beyond all measure": (("optimizer.lr=1e30",), r"loss became .*e\+\d+ after training, from 2\."),
    "Adam's state": (("reg=l2", "reg.lam=1e23"), r"exp_avg_sq of hidden\.weight in Adam has NaN or infinite"),
    "the last step": (
        (SGD, "optimizer.lr=1e38", "trainer.max_steps=1", *NO_VALIDATION),
        r"test/.*loss became inf after",
    ),
    "the last step, finite": (
        (SGD, "optimizer.lr=1e20", "trainer.max_steps=1", *NO_VALIDATION),
        r"became .*e\+19 after",
    ),
}


@pytest.mark.parametrize("case", DIVERGED)
def test_divergence_fails_the_run(train: CommandLine, case: str):
    arguments, expected = DIVERGED[case]
    result = train(*arguments)
    assert result.code == 1
    assert re.search(rf"{expected}.*: training diverged; lower optimizer\.lr", result.error)
    assert not (result.folder / "summary.json").exists()
    assert (result.folder / "error.txt").read_text().splitlines()[0] in result.err


class OnlyInTraining(nn.Linear):
    """A net whose outputs are infinite where it is evaluated."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if self.training else super().forward(input) * math.inf


class Leaps(torch.optim.SGD):
    """A step to infinity at the end."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.steps += 1
        if self.steps == 3:
            self.param_groups[0]["params"][0].data.fill_(math.inf)
        return loss


class Remembers(torch.optim.SGD):
    """Weights stay finite, its state does not."""

    def step(self, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            self.state[p]["seen"] = torch.full_like(p, math.nan)
        return super().step(closure)


CASES = {
    "validation alone": (OnlyInTraining(2, 1), torch.optim.SGD, r"^val/task_loss became inf in epoch 1"),
    "the last step": (nn.Linear(2, 1), Leaps, r"^weight has NaN or infinite values in epoch 1"),
    "the optimizer's state": (nn.Linear(2, 1), Remembers, r"^seen of weight in Remembers has NaN or infinite"),
    "batch norm's measure": (
        nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)),
        torch.optim.SGD,
        r"^0\.running_var has NaN or infinite",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_which_tensors_are_checked(case: str):
    net, optimizer, expected = CASES[case]
    scale = 1e30 if "batch norm" in case else 1.0
    batches = DataLoader(TensorDataset(torch.randn(6, 2) * scale, torch.randn(6, 1)), batch_size=2)
    module = RegularizedModule(net, optimizer=partial(optimizer, lr=0.0), task=regression())
    trainer = bare_trainer(
        StopWhenDiverged(), max_epochs=1, limit_val_batches=1.0 if "validation" in case else 0, log_every_n_steps=50
    )
    with quiet(), pytest.raises(Diverged, match=expected):
        trainer.fit(module, batches, batches)


def test_the_largest_growth_of_a_loss():
    start = {"task_loss": 2.0, "loss": 1e6}
    check_losses(
        {"val/task_loss": 3e7, "val/loss": 1e13, "val/penalty": 1e30, "val/r2": -math.inf, "epoch": 3}, start, ""
    )
    with pytest.raises(Diverged, match=r"^val/task_loss became 4e\+07 in epoch 3, from 2 before training"):
        check_losses({"val/task_loss": 4e7}, start, " in epoch 3")
    with pytest.raises(Diverged, match=r"^test/penalty became inf after training"):
        check_losses({"test/penalty": math.inf}, start, " after training")


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_a_run_without_a_step_fails(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RegularizedModule, "on_train_batch_start", lambda *_: -1, raising=False)  # skips the epoch
    result = train("callbacks=none", "logger=none")
    assert result.code == 1
    assert "no step was made" in result.error
    assert not (result.folder / "summary.json").exists()
