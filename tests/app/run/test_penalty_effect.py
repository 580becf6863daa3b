"""A run ends with a line on what its penalty did: its share of the loss and its weights' norm, at first and at last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from command_line import CommandLine
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.run_receipt import Effect

pytestmark = pytest.mark.script

LINE = re.compile(r"^penalty (\S+)% → (\S+)% of loss, weights' norm (\S+) → (\S+)$", re.MULTILINE)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_the_line_has_the_figures_of_the_receipt_and_of_the_record(train: CommandLine):
    run = train("reg=l2", "reg.lam=1", "trainer.max_epochs=1")
    found = LINE.search(run.out)
    assert found, run.out
    before, after, norm_before, norm_after = found.groups()
    assert f"the penalty is {before}% of the loss" in run.out
    record = RunRecord.read(run.folder)
    assert record is not None
    penalty, task = (record.final[f"train/{name}"] for name in ("penalty", "task_loss"))
    assert after == f"{100 * penalty / (penalty + task):.1f}"
    assert norm_after == f"{record.regularized.norm:.3g}"
    initial = record.regularized.initial_penalty
    assert initial is not None
    assert float(norm_before) == pytest.approx(initial**0.5, rel=0.01)  # λ = 1


@pytest.mark.parametrize("reg", ["none", "rdrop"])
def test_a_run_without_a_penalty_of_weights_has_no_such_line(reg: str, train: CommandLine):
    run = train(f"reg={reg}", "trainer.max_epochs=1")
    assert run.code == 0
    assert not LINE.search(run.out)


def test_a_run_without_complete_epochs_has_no_such_line():
    assert Effect(2.0, 6.0, 1.0).line({"val/penalty": 1.0, "val/task_loss": 1.0}, 0.5) is None
    assert Effect(2.0, 6.0, None).line({"train/penalty": 1.0, "train/task_loss": 1.0}, 0.5) is None


def test_a_loss_of_zero_has_no_share_to_divide():
    line = Effect(0.0, 0.0, 0.0).line({"train/penalty": 0.0, "train/task_loss": 0.0}, 0.0)
    assert line == "penalty 0.0% → 0.0% of loss, weights' norm 0 → 0"
