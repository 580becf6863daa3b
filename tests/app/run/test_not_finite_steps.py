"""A step that is not finite ends a run before its update, names the term, and can be run again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional as F

import places
import regtorch as rt
from bare_trainer import bare_trainer
from command_line import CommandLine
from not_finite import (
    ROOT,
    AllZeros,
    Large,
    LargeInValidation,
    NaNs,
    Numbers,
    Roots,
    Squares,
    Zeros,
    fit,
    layers,
    zeroed,
)
from regtorch.app.ground.errors import Diverged
from regtorch.app.ground.silence import quiet
from regtorch.app.run.diverged import StopWhenDiverged
from regtorch.lightning.tasks import regression
from regtorch.training import RegularizedModule

pytestmark = pytest.mark.script
SWITCHES = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


class Kept(Callback):
    """Keeps the weights before each step."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.weights = {name: p.detach().clone() for name, p in pl_module.net.named_parameters()}


@dataclass(frozen=True)
class Case:
    expected: str
    net: Callable[[], nn.Module] = layers
    data: type[Numbers] = Numbers
    rules: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    "task loss": Case(r"^task loss became (inf|nan) in epoch 1, step \d \(samples .*\b21\b", Squares, Large),
    "inputs": Case(r"^a value of the batch's inputs became nan in .*; clean or scale the data", data=NaNs),
    "activity": Case(
        r"^Activity\(.*\) on the outputs of 0 became -inf in epoch 1, step 1",
        rules=[rt.Activity(lambda output: (output - output).log().sum(), select="name:0")],
    ),
    "gradient of the loss": Case(r"^the gradient of the loss at 0\.bias became (inf|nan) in .*\b21\b", Roots, Zeros),
    "gradient of an accumulated batch": Case(
        r"^the gradient of the loss at 0\.bias became (inf|nan) in .*\b21\b",
        Roots,
        Zeros,
        options={"accumulate_grad_batches": 8},
    ),
    "gradient of a penalty": Case(
        r"^the gradient of Custom.* at bias became nan in epoch 1, step 1", zeroed, rules=[ROOT]
    ),
    "penalty": Case(
        r"^L2\(lam=1e\+38\) of 0\.weight became inf", rules=[rt.L2(1e38)], options={"lr": 1e-36, "log_every_n_steps": 1}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_term_is_named_and_the_step_is_kept(case: Case, tmp_path: Path):
    torch.manual_seed(0)
    kept, off = Kept(), {"enable_checkpointing": False}
    with pytest.raises(Diverged, match=case.expected) as stopped:
        fit(tmp_path, kept, net=case.net(), data=case.data, rules=case.rules, **{**off, **case.options})
    assert f"{tmp_path / 'diverged.pt'} has its batch" in str(stopped.value)
    saved = torch.load(tmp_path / "diverged.pt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["net"].values())
    torch.testing.assert_close({name: saved["net"][name] for name in kept.weights}, kept.weights, rtol=0, atol=0)
    part = case.data(num_classes=None).load().train
    torch.testing.assert_close(saved["batch"], [*part.batch(saved["samples"])], rtol=0, atol=0, equal_nan=True)
    assert not math.isfinite(saved["value"])
    assert saved["settings"] == {"seed": 0}


class Leaps(torch.optim.SGD):
    """Makes the fourth step an infinite one, from finite gradients."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        self.steps += 1
        if self.steps == 4:
            self.param_groups[0]["params"][0].data.fill_(math.inf)
        return loss


@pytest.mark.parametrize("weights_only", [False, True])
def test_no_checkpoint_has_weights_that_are_not_finite(tmp_path: Path, weights_only: bool):
    every = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, save_weights_only=weights_only)
    with pytest.raises(Diverged, match=r"0\.weight has NaN or infinite values"):
        fit(tmp_path, every, net=layers(), optimizer=Leaps)
    found = [torch.load(path, weights_only=True)["state_dict"] for path in tmp_path.glob("*.ckpt")]
    assert len(found) == 3
    assert all(value.isfinite().all() for state in found for value in state.values())


class Masked(nn.Module):
    """Adds a mask of -inf, as attention does, and keeps a mean that may become NaN."""

    mask: Tensor
    mean: Tensor

    def __init__(self, breaks_at: int | None = None) -> None:
        super().__init__()
        self.layer, self.calls, self.breaks_at = nn.Linear(2, 1), 0, breaks_at
        self.register_buffer("mask", torch.tensor([[0.0, -math.inf]]))
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, input: Tensor) -> Tensor:
        self.calls += self.training
        if self.calls == self.breaks_at:
            self.mean.fill_(math.nan)
        return self.layer((input + self.mask).softmax(1))


@pytest.mark.parametrize("weights_only", [False, True])
def test_infinite_masks_are_no_divergence(tmp_path: Path, weights_only: bool):
    fit(tmp_path, ModelCheckpoint(tmp_path, "last", save_weights_only=weights_only), net=Masked())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["net.mask"].isinf().any()


@pytest.mark.parametrize("weights_only", [False, True])
def test_no_checkpoint_has_running_means_that_are_not_finite(tmp_path: Path, weights_only: bool):
    every = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, save_weights_only=weights_only)
    with pytest.raises(Diverged, match="mean has NaN or infinite values"):
        fit(tmp_path, every, net=Masked(breaks_at=4))
    assert len([*tmp_path.glob("*.ckpt")]) == 3


def test_saves_keep_the_running_means_that_were_finite(tmp_path: Path):
    """Saves are written by another way than checkpoints."""
    guard = StopWhenDiverged()
    trainer = bare_trainer(guard, max_epochs=1)
    module = RegularizedModule(Masked(), optimizer=partial(torch.optim.SGD, lr=0.01), task=regression())
    with quiet():
        trainer.fit(module, datamodule=Numbers(num_classes=None, batch_size=4))
    module.net.mean.fill_(math.nan)
    with pytest.raises(Diverged, match="mean has NaN or infinite values in epoch"):
        guard.on_save_checkpoint(trainer, module, {})


def test_weights_are_named_with_the_steps_between_which_they_changed(tmp_path: Path):
    with pytest.raises(Diverged, match=r"after step 8 \(finite after step 0\): .*; save_every=1 checks every step"):
        fit(tmp_path, net=Masked(breaks_at=4), enable_checkpointing=False)


def test_a_validation_names_its_term_and_batch(tmp_path: Path):
    expected = r"^task loss became (inf|nan) in epoch 1, validation batch 3 \(samples 8, 9, 10, 11\)"
    with pytest.raises(Diverged, match=expected):
        fit(tmp_path, net=Squares(), data=LargeInValidation)
    saved = torch.load(tmp_path / "diverged.pt", weights_only=True)
    assert (saved["part"], saved["step"], saved["samples"].tolist()) == ("validation batch", 3, [8, 9, 10, 11])
    net = Squares().eval()
    net.load_state_dict(saved["net"])
    x, y = saved["batch"]
    assert str(F.mse_loss(net(x), y).item()) == str(saved["value"])


@pytest.mark.parametrize(
    ("expected", "case"),
    [
        (r"^the gradient of Custom.* at bias became nan in epoch 1, step 1 ", {"net": zeroed(), "rules": [ROOT]}),
        (r"^the gradient of the loss at 0\.bias became nan in epoch 1, step 4 ", {"net": Roots(), "data": AllZeros}),
    ],
    ids=["of a penalty", "of the loss at every scale"],
)
def test_a_gradient_under_a_scaler(expected: str, case: dict[str, Any], tmp_path: Path):
    plugin = MixedPrecision("bf16-mixed", "cpu")
    plugin.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-22)
    before = [p.detach().clone() for p in case["net"].parameters()]
    with pytest.raises(Diverged, match=expected):
        fit(tmp_path, **case, plugins=plugin, log_every_n_steps=1, enable_checkpointing=False)
    saved = torch.load(tmp_path / "diverged.pt", weights_only=True)
    torch.testing.assert_close([*saved["net"].values()], before, rtol=0, atol=0)


def test_clipping_does_not_hide_where_a_gradient_began(tmp_path: Path):
    with pytest.raises(Diverged, match=r"gradient of the loss at 0\.bias became (inf|nan) in .*\b21\b"):
        fit(tmp_path, net=Roots(), data=Zeros, gradient_clip_val=1.0, enable_checkpointing=False)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_a_step_can_be_run_again(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    result = train("reg=dropout", "reg.rate=0.2", "optimizer=sgd", "optimizer.lr=1e38", "save_every=1")
    assert result.code == 1
    assert "task loss became" in result.error

    page = (places.ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(result.folder)
    names: dict[str, Any] = {}
    exec(lines, names)
    loss = F.cross_entropy(names["outputs"], names["y"])

    assert str(loss.item()) == str(names["step"]["value"])


def test_saves_before_a_diverged_step_stay_and_resume(train: CommandLine):
    arguments = ("optimizer=sgd", "optimizer.lr=1e38", "save_every=1")
    result = train(*arguments)
    steps = int(result.err.partition("step ")[2].split()[0])
    newest = max((result.folder / "saves").iterdir())
    state = torch.load(newest / "state.ckpt", weights_only=True)
    assert state["global_step"] == steps - 1
    assert all(value.isfinite().all() for value in state["state_dict"].values() if value.is_floating_point())
    again = train(f"resume={result.folder}", "trainer.log_every_n_steps=1", fast=False)
    assert again.code == 1
    assert again.err == result.err
