"""Rules of outputs, label smoothing and mixed samples from the command line, and who refuses them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command_line import FAST, ROOT, CommandLine
from regtorch.app.doctor.main import main as doctor_main
from regtorch.app.path.main import main as path_main
from regtorch.app.search.main import main as search_main

pytestmark = pytest.mark.script

BARE = ("callbacks=none", "logger=none")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


RUNS = {
    "reg=confidence": "ConfidencePenalty(lam=0.1): of the net's outputs",
    "reg=kl_sparsity": "KLSparsity(rho=0.05, lam=0.1), select='type:Sigmoid'): the outputs of 1 module",
    "reg=jacobian": "JacobianPenalty(lam=0.1, projections=None): of the gradients",
    "reg=jacobian reg.projections=1": "JacobianPenalty(lam=0.1, projections=1): of the gradients",
    "reg=rdrop": "RDrop(lam=0.1): of two passes of each training batch",
}


@pytest.mark.parametrize("arguments", RUNS)
def test_a_run_of_each(arguments: str, train: CommandLine):
    result = train(*arguments.split(), "reg.lam=0.1", "constraint=max_norm", *BARE)
    assert (result.code, result.err) == (0, "")
    assert RUNS[arguments] in (result.folder / "receipt.txt").read_text()
    final = json.loads((result.folder / "summary.json").read_text())["final"]
    for stage in ("train", "val", "test"):
        task_loss, penalty = final[f"{stage}/task_loss"], final[f"{stage}/penalty"]
        assert final[f"{stage}/loss"] == pytest.approx(task_loss + penalty, rel=1e-5)
        assert (penalty == 0) == (arguments == "reg=rdrop" and stage != "train")


def test_label_smoothing_and_mixed_samples(train: CommandLine):
    mixed = ("data.mixup=0.2", "data.cutmix=1.0", "reg.label_smoothing=0.1")
    result = train(*mixed, "reg=l2", *BARE)
    assert (result.code, result.err) == (0, "")
    receipt = (result.folder / "receipt.txt").read_text()
    assert "label smoothing 0.1 of the task's loss in training, none in validation" in receipt
    assert "training samples are mixed: Mixing(mixup=0.2, cutmix=1)" in receipt
    plain = train("reg=l2", *BARE)
    with_mixing, without = (json.loads((r.folder / "summary.json").read_text())["final"] for r in (result, plain))
    assert with_mixing["train/task_loss"] > without["train/task_loss"]


def test_one_logit_and_shares(train: CommandLine, tmp_path: Path):
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 6, 6, 3), dtype=np.float32), rng.integers(0, 2, 60)
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    data = ("data=npz", f"data.dir={tmp_path / 'two.npz'}", "data.num_classes=2", "model=two_class_mlp")
    more = ("model.input_shape=[3,6,6]", "data.mixup=1.0", "reg.label_smoothing=0.1", "reg=confidence")
    result = train("trainer=cpu", "trainer.max_epochs=2", *data, *more, *BARE, fast=False)
    assert (result.code, result.err) == (0, "")


REFUSED = {
    "reg=kl_sparsity model=cnn": "reg.outputs: select 'type:Sigmoid' matches no module; there are:",
    "reg=kl_sparsity reg.outputs=name:hidden": "KLSparsity: activations must lie in [0, 1], received",
    "reg=kl_sparsity reg.rho=1": "reg.rho: expected a number above 0 and below 1, received 1",
    "reg=jacobian reg.projections=0": "reg.projections: expected a whole number of at least 1 or null, received 0",
    "reg=jacobian compile=true": "compile=true: reg=jacobian differentiates gradients again, which a compiled net",
    "reg=rdrop reg.proximal=true": "reg.proximal=true: reg=rdrop has no penalty with a proximal step",
    "reg.label_smoothing=1": "reg.label_smoothing: expected a number of at least 0 and below 1, received 1",
    "data=distance model=distance reg.label_smoothing=0.1": "reg.label_smoothing=0.1 needs classes, and this data has",
    "data=distance model=distance data.mixup=0.1": "unknown key 'data.mixup': only images with classes can be mixed",
    "data=windows model=window_net data.cutmix=1": "unknown key 'data.cutmix': only images with classes can be mixed",
    "data.mixup=-1": "data.mixup: expected a finite number of at least 0, received -1",
    "data.cutmix=true": "data.cutmix: expected a finite number of at least 0, received true",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_impossible_settings_are_reported(arguments: str, train: CommandLine):
    result = train(*arguments.split(), *BARE)
    assert result.code > 0
    assert REFUSED[arguments] in result.error


@pytest.mark.parametrize("kind", ["numbers", "vectors"])
def test_arrays_that_cannot_be_mixed(kind: str, train: CommandLine, tmp_path: Path):
    rng = np.random.default_rng(0)
    x = rng.random((30, 4) if kind == "vectors" else (30, 6, 6, 3), dtype=np.float32)
    y = rng.integers(0, 3, 30) if kind == "vectors" else rng.random((30, 1), dtype=np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    classes = "data.num_classes=3" if kind == "vectors" else "data.num_classes=null"
    net = ("model=sentiment", "model.input_shape=[4]") if kind == "vectors" else ("model=distance",)
    given = ("data=npz", f"data.dir={tmp_path / 'own.npz'}", classes, *net, "data.mixup=0.2")
    error = train("trainer=cpu", *given, *BARE, fast=False).error
    said = "has no images, received samples of shape (4,)" if kind == "vectors" else "has no classes to mix"
    assert "error: data.mixup: " in error
    assert said in error


def test_a_select_of_weights_is_reported_as_unused(train: CommandLine):
    receipt = (train("reg=confidence", "reg.select=all", *BARE).folder / "receipt.txt").read_text()
    assert "reg=confidence acts on outputs and does not use reg.select\n" in receipt


def test_equal_passes_are_refused(train: CommandLine):
    error = train("reg=rdrop", "model.net.dropout=0", *BARE).error
    assert "reg=rdrop compares two passes under dropout, and MnistMLP has no active dropout layer" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "reg=confidence path.lams=[0,0.1]",
            "a path does not support penalties of outputs, such as ConfidencePenalty(lam=0.0)",
        ),
        ("reg=kl_sparsity path.lams=[0,0.1]", "a path does not support penalties of outputs, such as Activity("),
        (
            "data.mixup=0.2 path.seeds=[0,1]",
            "data.mixup=0.2: a path does not mix samples; omit it, or use python scripts/train",
        ),
    ],
)
def test_a_path_refuses(arguments: str, said: str, train: CommandLine):
    train.main = path_main
    result = train(*arguments.split())
    assert result.code == 2
    assert said in result.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("reg=rdrop", "reg: the doctor watches penalties of weights and of activations, received RDrop(lam=0.01)"),
        ("data.cutmix=1", "data: the doctor does not mix samples, received Mixing(mixup=0, cutmix=1)"),
    ],
)
def test_the_doctor_refuses(arguments: str, said: str, train: CommandLine):
    train.main = doctor_main
    result = train(*arguments.split())
    assert result.code == 2
    assert said in result.error
    train.main = CommandLine(train.folder, train.monkeypatch, train.capfd).main
    warned = train(*arguments.split(), "doctor=true", *BARE)
    assert warned.code == 0  # advice that fails is no reason not to train
    assert f"warning: the doctor could not examine the setup: {said}" in warned.err


@pytest.mark.slow
def test_a_search_takes_their_strength_and_refuses_their_weights(train: CommandLine):
    pytest.importorskip("optuna")
    train.main = search_main
    command = [sys.executable, str(ROOT / "scripts" / "search.py"), *FAST, "reg=confidence", "search.trials=2", *BARE]
    result = subprocess.run(command, cwd=train.folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "2 complete" in result.stdout
    refused = train("reg=confidence", "search.select=[kernel,all]", "search.name=other", *BARE)
    assert "search.select: reg=confidence acts on outputs and selects no weights; omit it" in refused.error


def test_a_path_trains_with_label_smoothing_as_a_run_does(train: CommandLine):
    run = train("reg=l2", "reg.label_smoothing=0.2", "model.net.dropout=0", *BARE)
    final = json.loads((run.folder / "summary.json").read_text())["final"]
    train.main, train.runs = path_main, "paths"
    path = train("reg=l2", "reg.label_smoothing=0.2", "model.net.dropout=0", "path.lams=[0.01,0.1]")
    assert path.code == 0
    text = (path.folder / "path.csv").read_text().splitlines()
    names = text[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in text[1:]]
    last = [row for row in rows if row["lam"] == "0.01"][-1]
    for name in ("train/task_loss", "val/task_loss", "val/accuracy"):
        assert float(last[name]) == pytest.approx(final[name], rel=1e-4)
