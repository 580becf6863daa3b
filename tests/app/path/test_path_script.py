from __future__ import annotations

import csv
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from command_line import FAST, ROOT, CommandLine, Result
from regtorch.app.path import chunks
from regtorch.app.path.main import main

pytestmark = pytest.mark.script

ADAMS = ("betas", "eps", "weight_decay", "amsgrad", "fused")


class PathLine:
    """Calls `path.py` in an empty folder, with a few steps of a small net."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capfd = folder, monkeypatch, capfd
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: str) -> Result:
        self.monkeypatch.setattr(sys, "argv", ["path.py", *FAST, *arguments])
        self.capfd.readouterr()
        code = main(ROOT / "conf")
        out, err = self.capfd.readouterr()
        folders = sorted(self.folder.glob("paths/*/*"), key=lambda f: f.name) or [self.folder]
        return Result(code, out, err, folders[-1])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> PathLine:
    return PathLine(tmp_path, monkeypatch, capfd)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "path.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def test_a_path_leaves_the_documented_files(path: PathLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    result = path("reg=l2", "path.lams=log:1e-4:1:3", "path.seeds=[0,1]")
    assert (result.code, result.err) == (0, "")
    folder = result.folder
    assert folder.parent.name == "mnist_mlp-l2"
    assert (folder / "path.png").stat().st_size > 10_000
    assert not list(folder.rglob(".*.[0-9]*"))  # nothing half-written
    assert "hidden.weight" in (folder / "receipt.txt").read_text()

    table = rows(folder)
    assert len(table) == 6 * 2
    assert [row["epoch"] for row in table[:2]] == ["1", "2"]
    assert {row["lam"] for row in table} == {"0.0001", "0.01", "1.0"}
    assert {row["rate"] for row in table} == {""}
    for row in table:
        for stage in ("train", "val"):
            parts = float(row[f"{stage}/task_loss"]) + float(row[f"{stage}/penalty"])
            assert float(row[f"{stage}/loss"]) == pytest.approx(parts)
            assert 0 <= float(row[f"{stage}/accuracy"]) <= 1

    told = summary(folder)
    members = told["path"]["members"]
    assert [m["member"] for m in members] == list(range(6))
    best = told["path"]["best"]
    scores = [m["best"]["val/accuracy"] for m in members]
    means = [sum(scores[i : i + 2]) / 2 for i in (0, 2, 4)]  # over the seeds of a strength
    assert means[best["member"] // 2] == max(means)
    assert scores[best["member"]] == max(scores[best["member"] // 2 * 2 :][:2])
    assert members[best["member"]]["final"] == told["final"]
    assert all(m["diverged"] is None and 0 <= m["zeros"] <= 1 and m["norm"] > 0 for m in members)
    norms = [members[i]["norm"] for i in (0, 2, 4)]
    assert norms == sorted(norms, reverse=True)
    assert best["command"] in result.out

    # The command reruns the best member.
    train = CommandLine(tmp_path, monkeypatch, path.capfd)
    words = shlex.split(best["command"])
    assert words[:2] == ["python", "scripts/train.py"]
    again = summary(train(*words[2:], fast=False).folder)
    for metric, value in again["final"].items():
        assert told["final"][metric] == pytest.approx(value, rel=1e-4, abs=1e-6), metric


def test_diverged_members_are_dropped_and_reported(path: PathLine):
    arguments = ("reg=l2", "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=5", "trainer.log_every_n_steps=1")
    result = path(*arguments, "path.lams=[1e-4,1e4,1e-2,1e6]")
    assert result.code == 0
    told = summary(result.folder)
    lost = [m["diverged"] for m in told["path"]["members"]]
    assert [bool(entry) for entry in lost] == [False, True, False, True]
    assert told["path"]["diverged"] == 2
    assert "loss became" in lost[1]["reason"] or "penalty became" in lost[1]["reason"]
    assert "2 of 4 diverged" in result.out
    epochs = {number: [r["epoch"] for r in rows(result.folder) if r["member"] == str(number)] for number in range(4)}
    assert len(epochs[0]) == len(epochs[2]) == 5
    assert len(epochs[1]) == lost[1]["epoch"] - 1
    # The others are what they are without them.
    calm = rows(path(*arguments, "path.lams=[1e-4,1e-2]").folder)
    among = [r for r in rows(result.folder) if r["member"] in "02"]
    assert [r["val/loss"] for r in calm] == pytest.approx([r["val/loss"] for r in among])


def test_a_diverged_member_reports_the_epoch_of_its_own_run(
    path: PathLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = ("reg=l2", "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=5", "trainer.log_every_n_steps=1")
    told = summary(path(*arguments, "path.lams=[1e-3,1e4]").folder)["path"]["members"][1]["diverged"]
    train = CommandLine(tmp_path, monkeypatch, path.capfd)
    assert told["reason"] == f"val/penalty became inf in epoch {told['epoch']}"
    assert f" became inf in epoch {told['epoch']}, step " in train(*arguments, "reg.lam=1e4").error


def test_a_path_whose_members_all_diverge_fails_and_is_written(path: PathLine):
    result = path("reg=l2", "optimizer=sgd", "optimizer.lr=1", "trainer.max_epochs=5", "path.lams=[1e5,1e6]")
    assert result.code == 1
    assert "all 2 members diverged" in result.error
    assert summary(result.folder)["path"]["best"] is None
    assert (result.folder / "path.png").exists()


def test_a_chunk_that_does_not_fit_is_halved(path: PathLine, monkeypatch: pytest.MonkeyPatch):
    import torch

    from regtorch.app.path import run_path as job

    real = job.train_chunk

    def short(trainer: job.Trainer, *arguments: Any, **named: Any) -> Any:
        if len(trainer.outcomes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(trainer, *arguments, **named)

    monkeypatch.setattr(job, "train_chunk", short)
    result = path("reg=l2", "path.lams=log:1e-4:1:5")
    assert result.code == 0
    assert "continuing with half of them" in result.out
    assert len(rows(result.folder)) == 5 * 2
    assert [r["member"] for r in rows(result.folder)] == [str(n) for n in range(5) for _ in range(2)]


def test_chunks_fit_into_the_free_memory(path: PathLine, monkeypatch: pytest.MonkeyPatch):

    monkeypatch.setattr(chunks, "available_memory", lambda device: 4 * 2**20)
    result = path("reg=l2", "path.lams=log:1e-4:1:6")
    assert result.code == 0
    assert "in 3 chunks" in result.out or "in 2 chunks" in result.out or "in 6 chunks" in result.out
    assert "chunk 2/" in result.out
    assert "all side by side" in path("reg=l2", "path.lams=log:1e-4:1:6", "path.chunk=6").out


@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reg=l2",), "a path needs values to vary"),
        (("reg=l2", "path.lams=[]"), "path.lams: expected a list"),
        (("reg=none", "path.lams=[0,1]"), "reg=none has no penalty"),
        (("path.max_values=[1,2]",), "constraint=none has no bound"),
        (("path.rates=[0.1,0.5]", "model=bn_mlp"), "no dropout layer"),
        (("reg=l1l2", "reg.l1=0.1", "reg.l2=0.1", "path.lams=[0,1]"), "has no effect"),
        (("reg=orthogonal", "reg.proximal=true", "path.lams=[0,1]"), "no proximal step"),
        (("reg=l1", "reg.proximal=true", "optimizer=adadelta", "path.lams=[0,1]"), "step size"),
        (("path.seeds=[0,1]", "trainer.precision=bf16-mixed"), "trainer.precision=bf16-mixed"),
        (("path.seeds=[0,1]", "trainer.accumulate_grad_batches=2"), "trainer.accumulate_grad_batches=2"),
        (("path.seeds=[0,1]", "trainer.max_epochs=-1"), "trainer.max_epochs"),
        (("path.seeds=[0,1]", "compile=true"), "compile=true"),
        (("path.seeds=[0,1]", "callbacks=early_stopping"), "cannot stop early"),
        (("path.seeds=[0,1]", "path.chunk=0"), "path.chunk"),
        (("path.seeds=[0,1]", "trainer.limit_train_batches=0"), "trainer.limit_train_batches"),
        (("path.rates=[0,0.5]", "seed=null"), "seed=null"),
        (
            ("path.seeds=[0,1]", "optimizer._target_=torch.optim.LBFGS", *(f"~optimizer.{key}" for key in ADAMS)),
            "LBFGS: it searches along one line",
        ),
    ],
)
def test_unsupported_settings_of_a_path_are_reported(path: PathLine, arguments: tuple[str, ...], said: str):
    result = path(*arguments)
    assert result.code == 2
    assert said in result.error


def test_a_sweep_of_paths_is_refused(path: PathLine):
    result = path("-m", "reg=l1,l2", "path.lams=[0,1]")
    assert result.code == 2
    assert "a path is a sweep already" in result.error
