"""`regtorch doctor history=FILE`: exit codes, files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import CommandLine
from regtorch.app.doctor.main import main
from regtorch.app.terminal.sparkline import sparkline

pytestmark = pytest.mark.script
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")


def written(path: Path, **series: list[float]) -> Path:
    path.write_text(json.dumps(series))
    return path


def test_a_severe_finding(doctor: CommandLine, tmp_path: Path):
    """NaN is printed, drawn and recorded; a column's name is text on the page."""
    path = written(tmp_path / "diverged.json", loss=[1.0, 0.8, float("nan"), float("nan")], **{HOSTILE: [1.0] * 4})
    result = doctor(f"history={path}", fast=False)
    assert (result.code, result.err) == (3, "")
    assert "1  severe  Training diverges: epoch 3" in result.out
    assert "train loss" in result.out
    assert "××" in result.out
    assert result.folder.parent.name == "history"
    record = json.loads((result.folder / "doctor.json").read_text())
    assert record["verdict"] == "severe"
    assert record["findings"][0]["numbers"]["epoch"] == 3
    assert list(record["history"]["train"]["loss"].values()) == [1.0, 0.8, None, None]
    html = (result.folder / "doctor.html").read_text()
    assert "alert" in html
    assert "<script>alert" not in html
    assert html.count("<svg") == 1
    assert (result.folder / "doctor.png").read_bytes()[:4] == b"\x89PNG"


def test_a_warning_with_its_epoch(doctor: CommandLine, tmp_path: Path):
    losses = [1.0, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02]
    path = written(tmp_path / "o.json", loss=losses, val_loss=[1.0, 0.7, 0.6, 0.65, 0.8, 1.0, 1.2, 1.4])
    result = doctor(f"history={path}", "classes=10", fast=False)
    assert (result.code, result.err) == (0, "")
    assert "Overfitting: epoch 3" in result.out
    assert "epochs = 3" in result.out


def test_notes_are_counted_where_nothing_is_wrong(doctor: CommandLine, tmp_path: Path):
    path = written(tmp_path / "short.json", loss=[1.0], val_loss=[1.0])
    result = doctor(f"history={path}", fast=False)
    assert (result.code, result.err) == (0, "")
    assert "No fault; 1 note above." in result.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("history=nothing.csv",), "there is no file 'nothing.csv'"),
        (("history=two.txt",), "choose one by run=1 to run=2"),
        (("history=two.txt", "run=3"), "run must be at most 2"),
        (("history=two.txt", "run=x"), "run must be a whole number"),
        (("history=two.txt", "run=1", "cure=true", "model=cnn"), "leave out cure=true model=cnn"),
        (("classes=10",), "classes: expected nothing without history=FILE, received 10"),
        (("history=[two.txt]",), "history: expected a file or a folder, received ['two.txt']"),
    ],
)
def test_refused(doctor: CommandLine, tmp_path: Path, arguments: tuple[str, ...], told: str):
    text = "Epoch 1/2\n9/9 - loss: 1.0\nEpoch 2/2\n9/9 - loss: 0.5\n"
    (tmp_path / "two.txt").write_text(text * 2)
    result = doctor(*arguments, fast=False)
    assert result.code == 2
    assert told in result.error


def test_a_line_of_blocks():
    assert sparkline([1, 2, 3, 4], 1, 4) == "▁▃▆█"
    assert sparkline([1, float("nan"), 100], 1, 100, log=True) == "▁×█"
    assert sparkline([5.0] * 3, 5, 5) == "▁▁▁"
    assert len(sparkline(list(range(1000)), 0, 999, width=40)) == 40
    assert sparkline([], 0, 1) == ""
