"""What a run tells of its epochs: a line each, and on a terminal a bar below."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from command_line import CommandLine

pytestmark = pytest.mark.script


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_without_a_terminal_an_epoch_is_one_plain_line(train: CommandLine):
    out = train("reg=l2").out
    names, *epochs = [line.split() for line in out.splitlines() if line.startswith("epoch ")]
    assert names == ["epoch", "train:", "task_loss", "penalty", "accuracy", "val:", "task_loss", "accuracy"]
    assert [line[:2] for line in epochs] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert [len(line) for line in epochs] == [2 + 5] * 2
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", out)


def test_on_a_terminal_a_bar_moves_under_the_epochs_lines(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = train("reg=l2").out
    assert "\x1b[" in out
    for part in ("epoch 2/2", "4/4", "train: task_loss", "penalty", "accuracy", "val: task_loss"):
        assert part in out
    below = [line for line in out.splitlines() if "train: task_loss 0." in line or "train: task_loss 2." in line]
    assert below
    assert not any("val" in line for line in below)  # that would be of the epoch before


def test_without_a_penalty_nothing_is_said_of_one(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    out = train("reg=none").out
    told = out.partition("epoch ")[2].partition("written to")[0]
    assert "val: task_loss" in told
    assert "penalty" not in told
    assert "│     loss" not in told
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    live = train("reg=dropout").out.partition("train: task_loss")[2]
    assert "penalty" not in live.partition("written to")[0].replace("without_a_penalty", "")


def test_a_validation_is_printed_once(train: CommandLine):
    result = train("trainer.max_epochs=5", "trainer.check_val_every_n_epoch=2", "logger=none")
    lines = [line.split() for line in result.out.splitlines() if re.match(r"epoch \d", line)]
    assert [len(line) - 2 for line in lines] == [2, 4, 2, 4, 2]  # task loss and accuracy of training, and of validation
    assert "val/accuracy" in json.loads((result.folder / "summary.json").read_text())["final"]
