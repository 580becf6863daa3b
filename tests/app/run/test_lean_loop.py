"""The program's own loop over batches trains, logs and saves to the bit as Lightning's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from command_line import CommandLine
from regtorch.app.run import lean_loop
from same_runs import assert_same, tables_of, weights_of

SETTINGS = {
    "default": ("model=cnn", "reg=l2"),
    "logs": ("reg=l1", "trainer.log_every_n_steps=7", "trainer.max_epochs=3"),
    "constraint": ("model=mnist_mlp", "constraint=max_norm", "constraint.max_value=1", "optimizer=sgd"),
    "proximal": ("model=mnist_mlp", "reg=l1", "reg.proximal=true", "reg.schedule=warmup:20", "optimizer=rmsprop"),
    "outputs": ("model=mnist_mlp", "reg=confidence"),
    "activities": ("model=mnist_mlp", "reg=kl_sparsity", "reg.outputs=type:Sigmoid"),
    "mixed": ("reg=l2", "data.mixup=0.2", "reg.label_smoothing=0.1"),
    "validation": ("reg=l2", "trainer.val_check_interval=0.3", "trainer.check_val_every_n_epoch=1"),
    "few batches": ("reg=l2", "trainer.limit_train_batches=5", "trainer.max_epochs=4"),
    "steps": ("reg=l2", "trainer.max_steps=50", "trainer.max_epochs=-1"),
    "stopping": ("reg=l2", "callbacks=early_stopping", "callbacks.stop.patience=0", "trainer.max_epochs=5"),
    "accumulated": ("reg=l2", "trainer.accumulate_grad_batches=3"),
    "clipped": ("reg=l2", "trainer.gradient_clip_val=0.1"),
}
FEW = (
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=null",
    "data.batch_size=64",
    "callbacks.history=null",
    "trainer=cpu",
)


class Logs(Callback):
    """Logs something of its own in each step."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.log("own", outputs["loss"] * 2, on_step=True, on_epoch=True)


SETTINGS["own callback"] = ("reg=l2", f"+callbacks.own={{_target_: {Logs.__module__}.Logs}}")


def run(where: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *more: str) -> Path:
    where.mkdir()
    result = CommandLine(where, monkeypatch, capfd)(*FEW, *more)
    assert result.code == 0, result.err
    return result.folder


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_is_that_of_lightnings_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
):
    plain = lean_loop.is_plain
    asked: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(lean_loop, "is_plain", lambda *given: asked.append(plain(*given)) or asked[-1])
        ours = run(tmp_path / "ours", patch, capfd, *SETTINGS[name])
    assert asked
    assert all(asked) == (name not in ("accumulated", "clipped"))
    with monkeypatch.context() as patch:
        patch.setattr(lean_loop, "is_plain", lambda *_: False)
        theirs = run(tmp_path / "theirs", patch, capfd, *SETTINGS[name])
    assert_same(ours, theirs)
    assert "csv/metrics.csv" in tables_of(ours)


COMPILED = ("compile=true", "model=mnist_mlp", "model.net.dropout=0", "optimizer=rmsprop", "reg=l2", "reg.lam=1e-3")


def test_whole_steps_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    steps: list[Any] = []
    make = lean_loop.compile_step
    monkeypatch.setattr(lean_loop, "compile_step", lambda *given: steps.append(make(*given)) or steps[-1])
    compiled = tables_of(run(tmp_path / "compiled", monkeypatch, capfd, *COMPILED))
    by_parts = tables_of(run(tmp_path / "by parts", monkeypatch, capfd, *COMPILED, "compile=false"))
    assert [step.why_not for step in steps] == [""]
    for name, value in by_parts["record"]["final"].items():
        assert compiled["record"]["final"][name] == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("reg=confidence",), "a penalty depends on the net's outputs"),
        (("optimizer=adamax",), "Adamax is not among those of rt.compile_step"),
        (("trainer.accumulate_grad_batches=2",), "more happens in a step than forward, backward"),
    ],
)
def test_the_net_alone_is_compiled_with_a_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    settings: tuple[str, ...],
    reason: str,
):
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    result = CommandLine(tmp_path, monkeypatch, capfd)("compile=true", *settings)
    assert result.code == 0, result.err
    assert f"compile=true: the net alone is compiled, as {reason}" in result.out
    assert compiled


@pytest.mark.slow
def test_compiled_steps_with_dropout_are_resumed_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    more = (*FEW, *COMPILED, "model.net.dropout=0.3", "save_every=4", "hydra.run.dir=run")
    folders = [tmp_path / "whole", tmp_path / "interrupted"]
    for folder in folders:
        folder.mkdir()
    assert CommandLine(folders[0], monkeypatch, capfd)(*more).code == 0
    step, wholes = lean_loop.LeanLoop._compiled_step, []

    def interrupted(self: lean_loop.LeanLoop, whole: Any, batch: Any) -> dict[str, Any]:
        wholes.append(whole)
        if len(wholes) == 14:
            raise KeyboardInterrupt
        return step(self, whole, batch)

    with monkeypatch.context() as patch:
        patch.setattr(lean_loop.LeanLoop, "_compiled_step", interrupted)
        assert CommandLine(folders[1], patch, capfd)(*more).code != 0
    assert wholes[-1].why_not == ""
    resumed = CommandLine(folders[1], monkeypatch, capfd)(*more, "resume=true")
    assert resumed.code == 0, resumed.err
    assert "resumed after step" in resumed.out
    first, second = (weights_of(folder / "run") for folder in folders)
    assert first
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.slow
def test_a_loss_of_compiled_steps_that_is_not_finite_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    result = CommandLine(tmp_path, monkeypatch, capfd)(*FEW, *COMPILED, "optimizer=sgd", "optimizer.lr=1e30")
    assert result.code == 1
    assert "train/loss became" in result.error
    assert "in epoch 1, step " in result.error
    assert "compile=false names the term" in result.error
