"""`rerun=` repeats a finished run and says whether its result is the same, and what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from command_line import FAST, CommandLine
from places import ROOT

pytestmark = pytest.mark.script


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's record."""
    record = json.loads((folder / "summary.json").read_text())
    change(record)
    (folder / "summary.json").write_text(json.dumps(record))


def test_a_rerun_is_the_same_to_the_bit(run: CommandLine):
    assert run("reg=dropout", "data.mixup=0.3", "hydra.run.dir=first").code == 0
    again = run("rerun=first", "hydra.run.dir=again", fast=False)
    assert again.code == 0
    assert "rerun of first: the same to the bit (" in again.out
    assert "and all weights)" in again.out
    assert "differs" not in again.out
    one, other = (json.loads((run.folder / name / "summary.json").read_text()) for name in ("first", "again"))
    assert one["final"] == other["final"]
    assert one["provenance"]["weights"] == other["provenance"]["weights"]
    third = run("rerun=again", fast=False)  # a rerun has a record too, and a folder of its own by default
    assert third.code == 0
    assert third.folder.is_relative_to(run.folder / "runs")


DIFFERENT = {
    "a metric": (
        lambda r: r["final"].update({"val/loss": r["final"]["val/loss"] * (1 + 1e-6)}),
        "metrics within a relative difference of 1e-06\n  val/loss: ",
    ),
    "a metric that is missing": (lambda r: r["final"].pop("val/loss"), "differs\n  val/loss: unknown, now "),
    "the weights": (
        lambda r: r["provenance"].update(weights="0" * 64),
        "differs in its weights, not in its metrics\n  weights: 000000000000…, now ",
    ),
}


def test_rerun_null_is_a_new_run_and_nothing_is_a_folder(run: CommandLine):
    assert run("rerun=null").code == 0
    assert "rerun: expected the folder of a finished run" in run("rerun=", fast=False).error
    for off in ("rerun=null", "resume=false"):
        assert "hydra.sweep.dir=x is for a sweep" in run(off, "hydra.sweep.dir=x").error


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", DIFFERENT)
def test_another_result_is_said(run: CommandLine, case: str):
    change, expected = DIFFERENT[case]
    assert run("hydra.run.dir=first").code == 0
    changed(run.folder / "first", change)
    result = run("rerun=first", fast=False)
    assert result.code == 1
    assert "the result differs" in result.out
    assert expected in result.out
    assert "versions, device, threads, git, data and settings are the same" in result.out


def test_other_origins_of_the_same_result_are_said(run: CommandLine):
    assert run("hydra.run.dir=first").code == 0

    def change(record: dict[str, Any]) -> None:
        record["versions"]["torch"] = "1.0"
        record["provenance"]["threads"] = 99
        record["provenance"]["data"]["train"] = "f" * 64
        record["provenance"]["git"] = {"folder": {"commit": "c" * 40, "dirty": True}}

    changed(run.folder / "first", change)
    result = run("rerun=first", fast=False)
    assert result.code == 0
    assert "the same to the bit" in result.out
    _, _, differences = result.out.partition("differs in\n")
    assert f"torch: 1.0, now {torch.__version__}" in differences
    assert f"threads: 99, now {torch.get_num_threads()}" in differences
    assert "data.train: ffffffffffff…, now " in differences
    assert "git.folder.commit: cccccccccccc…, now unknown" in differences


def test_own_configs_moved_folders_and_changed_data(run: CommandLine):
    mine, data, first = (run.folder / name for name in ("mine", "my.npz", "first"))
    (mine / "reg").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "reg" / "l2.yaml", mine / "reg" / "my_l2.yaml")
    numbers = np.random.default_rng(0)

    def write() -> None:
        images = {f"x_{part}": numbers.integers(0, 256, (40, 28, 28), np.uint8) for part in ("train", "test")}
        np.savez(data, **images, y_train=np.arange(40) % 10, y_test=np.arange(40) % 10)

    write()
    result = run(
        *("--config-dir", str(mine), *FAST, "reg=my_l2", "data=npz", f"data.dir={data}", "hydra.run.dir=first"),
        fast=False,
    )
    assert result.code == 0, result.err
    first.rename(run.folder / "moved")
    assert run("rerun=moved", fast=False).code == 0

    config = mine / "reg" / "my_l2.yaml"
    config.write_text(config.read_text() + "lam: 0.5\n")
    result = run("rerun=moved", fast=False)
    assert result.code == 1
    assert "  reg.lam: 0.01, now 0.5" in result.out

    write()
    result = run("rerun=moved", fast=False)
    assert result.code == 1
    assert "  data.train: " in result.out
    data.unlink()
    result = run("rerun=moved", fast=False)
    assert result.code == 2
    assert "my.npz" in result.error
    shutil.rmtree(mine)
    result = run("rerun=moved", fast=False)
    assert result.code != 0
    assert "mine" in result.error


REFUSED = {
    "nothing there": ((), "nowhere", "expected the folder of a finished run, with its summary.json"),
    "other settings": (("reg.lam=3",), "first", "repeated with its own settings, received reg.lam=3"),
    "a sweep": (("-m",), "first", "repeated with its own settings, received -m"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_rerun_is_refused(run: CommandLine, case: str):
    arguments, folder, expected = REFUSED[case]
    result = run(f"rerun={folder}", *arguments, fast=False)
    assert result.code == 2
    assert expected in result.error


def test_records_that_cannot_be_repeated_are_refused(run: CommandLine):
    assert run("hydra.run.dir=first").code == 0
    first, record = run.folder / "first", (run.folder / "first" / "summary.json").read_text()
    shutil.copytree(first / ".hydra", run.folder / "unfinished" / ".hydra")
    assert "resume=unfinished" in run("rerun=unfinished", fast=False).error
    (run.folder / "unfinished" / "diverged.pt").touch()
    assert "this run diverged, and unfinished/diverged.pt repeats" in run("rerun=unfinished", fast=False).error
    for change, expected in (
        (lambda r: r.pop("config"), "has no config to compare with"),
        (lambda r: r.update(schema=99), "a newer regtorch wrote it"),
        (lambda r: r.update(path={}), "received a path"),
    ):
        changed(first, change)
        result = run("rerun=first", fast=False)
        assert result.code == 2
        assert expected in result.error
        (first / "summary.json").write_text(record)
    (first / ".hydra" / "hydra.yaml").unlink()
    result = run("rerun=first", fast=False)
    assert result.code == 2
    assert "does not say how the run began" in result.error


def test_a_record_of_an_earlier_version(run: CommandLine):
    assert run("hydra.run.dir=first").code == 0
    changed(run.folder / "first", lambda record: record.pop("provenance"))
    result = run("rerun=first", fast=False)
    assert result.code == 0
    assert "metrics; the record has no checksum of the weights)" in result.out


def test_a_job_of_a_sweep_is_a_run(run: CommandLine):
    assert run("-m", "reg=l2", "reg.lam=0.1,0.01", "hydra.sweep.dir=sweep").code == 0
    result = run("rerun=sweep", fast=False)
    assert result.code == 2
    assert "name a job, as rerun=sweep/0" in result.error
    result = run("rerun=sweep/1", fast=False)
    assert result.code == 0
    assert "the same to the bit" in result.out
