"""Running statistics that lag behind in a run of ours have a setting: settle_batch_norm=true."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch import nn

from command_line import CommandLine
from places import ROOT
from regtorch.app.doctor.main import main
from regtorch.app.run.settling import SETTLES, could_settle

pytestmark = pytest.mark.script

SETTING = "settle_batch_norm=true"
RECORDED = json.loads((ROOT / "tests" / "doctor" / "histories.json").read_text())["batch_norm_lag_momentum_0"]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")


def a_lagging_run(folder: Path, receipt: str = "CNN\n", **settings: Any) -> Path:
    """A run of ours with the curves of a recorded training."""
    names = {"loss": "train/loss", "val_loss": "val/loss", "accuracy": "train/accuracy", "val_accuracy": "val/accuracy"}
    (folder / "csv").mkdir(parents=True)
    with (folder / "csv" / "metrics.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", *names.values()])
        rows.writerows(zip(range(len(RECORDED["loss"])), *(RECORDED[name] for name in names), strict=True))
    (folder / "receipt.txt").write_text(receipt)
    record = {"final": {}, "config": {"seed": 0, "compile": False, "settle_batch_norm": "auto", **settings}}
    (folder / "summary.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ({}, True),
        ({"settle_batch_norm": False}, True),
        ({"settle_batch_norm": True}, False),
        ({"compile": True}, False),
        ({"receipt": f"CNN\n{SETTLES} in epochs of 45 steps\n"}, False),
    ],
    ids=str,
)
def test_curves_of_a_run_name_the_setting(run: dict[str, Any], named: bool, doctor: CommandLine, tmp_path: Path):
    folder = a_lagging_run(tmp_path / "mine", **run)
    for source in (folder, folder / "csv" / "metrics.csv"):
        done = doctor(f"history={source}", fast=False)
        assert done.code == 0
        assert "Running statistics lag behind" in done.out
        [found] = [
            finding
            for finding in json.loads((done.folder / "doctor.json").read_text())["findings"]
            if finding["cause"] == "batch_norm_lag"
        ]
        assert found["override"] == (SETTING if named else "")
        assert (SETTING in done.out) is named
        assert (SETTING in (done.folder / "doctor.html").read_text()) is named


def test_curves_of_other_programs_do_not(doctor: CommandLine, tmp_path: Path):
    (tmp_path / "keras.json").write_text(json.dumps(RECORDED))
    done = doctor(f"history={tmp_path / 'keras.json'}", fast=False)
    assert "Running statistics lag behind" in done.out
    assert SETTING not in done.out


def test_a_setup_with_a_slow_norm_names_it(doctor: CommandLine, monkeypatch: pytest.MonkeyPatch):
    made = "nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, momentum=1e-4), nn.Linear(64, 10))"
    code = f"from torch import nn\n\n\ndef slow() -> nn.Module:\n    return {made}\n"
    (doctor.folder / "slow_nets.py").write_text(code)
    monkeypatch.syspath_prepend(str(doctor.folder))
    own = ("model=own", "model.net._target_=slow_nets.slow", "data.resize=null", "reg=none", "trainer=cpu")
    done = doctor(*own, "settle_batch_norm=false", fast=False)
    assert "Running statistics lag behind" in done.out
    assert SETTING in done.out
    done = doctor(*own, SETTING, fast=False)
    assert "Running statistics lag behind" in done.out
    found = json.loads((done.folder / "doctor.json").read_text())["findings"]
    assert all(finding["override"] != SETTING for finding in found)


@pytest.mark.parametrize(
    ("setting", "compiled", "steps", "momentum", "could"),
    [
        (False, False, 10, 0.01, True),
        ("auto", False, 1e9, 0.01, True),
        ("auto", False, 10, 0.01, False),  # it does already
        (True, False, 10, 0.01, False),
        (False, True, 10, 0.01, False),
        (False, False, 10, None, False),  # a cumulative average
    ],
)
def test_it_is_named_where_it_changes_something(
    setting: object, compiled: bool, steps: float, momentum: float | None, could: bool
):
    cfg = OmegaConf.create({"settle_batch_norm": setting, "compile": compiled})
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=momentum))
    assert could_settle(cfg, net, lambda: steps) is could
