"""The lines of epochs: columns that fit the width, and a word on those that do not."""

from __future__ import annotations

import pytest

from regtorch.app.terminal.epoch_lines import EpochLines

TRAIN = {"train/task_loss": 2.16721, "train/penalty": 0.5, "train/accuracy": 0.25, "train/loss": 2.6}
VAL = {"val/task_loss": 1.9, "val/penalty": 0.5, "val/accuracy": 0.34}


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_numbers_stand_below_their_names_within_eighty_columns():
    lines = EpochLines("/20")
    told = [*lines(1, TRAIN | VAL), *lines(12, TRAIN | VAL)]
    assert told == [
        "epoch        train: task_loss   penalty  accuracy  val: task_loss  accuracy",
        "epoch 1/20             2.1672    0.5000    0.2500          1.9000    0.3400",
        "epoch 12/20            2.1672    0.5000    0.2500          1.9000    0.3400",
    ]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [("70", "train accuracy"), ("60", "train penalty, train accuracy"), ("132", "")],
)
def test_a_narrow_width_leaves_columns_out_and_says_so_once(width: str, left_out: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", width)
    lines = EpochLines("/20")
    told = [*lines(1, TRAIN | VAL), *lines(2, TRAIN | VAL)]
    said = [f"{width} columns are too few for {left_out}"] if left_out else []
    assert [line for line in told if "too few" in line] == said
    assert all(len(line) <= int(width) for line in told if line not in said)
    assert len(told) == 3 + len(said)


def test_epochs_without_validation_leave_its_columns_empty():
    lines = EpochLines()
    assert "val" not in lines(1, TRAIN)[0]
    names, row = lines(2, TRAIN | VAL)
    assert "val: task_loss" in names
    assert lines(3, TRAIN) == [row.partition("1.9000")[0].replace("epoch 2", "epoch 3").rstrip()]


def test_without_a_penalty_there_is_no_column_of_one():
    assert not any("penalty" in line for line in EpochLines(penalised=False)(1, TRAIN | VAL))


def test_no_width_is_too_narrow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "1")
    assert "0.3400" in EpochLines("/20")(1, TRAIN | VAL)[-1]
