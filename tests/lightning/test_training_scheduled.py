"""Strengths that move in Lightning: equal to moving them by hand, and a resumed training goes on where it was."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import regtorch as rt
from bare_trainer import bare_trainer
from plain_modules import OPTIMIZERS, STEPS, Plain, TwoOptimizers, a_net, batches, fit
from regtorch.app.ground.silence import quiet
from regtorch.training import Regularize, RegularizedModule

S = rt.schedules
SCHEDULE = S.warmup(4) | S.cosine(7) | S.step(2, 0.5)
L2, L1 = rt.L2(0.3), rt.L1(0.05, select="bias")
CALLBACKS = {
    "for all": lambda: Regularize(L2, L1, rt.MaxNorm(1.0), schedule=SCHEDULE),
    "one of two": lambda: Regularize((L2, SCHEDULE), L1),
    "each its own": lambda: Regularize((L2, SCHEDULE), L1, schedule=S.linear(3.0, 0.0, 9)),
    "proximal": lambda: Regularize(L1, schedule=SCHEDULE, proximal=True),
}


def close(a: nn.Module, b: nn.Module) -> None:
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12, msg=name)


def test_a_schedule_equals_setting_the_scale_by_hand():
    net, reference = a_net(), a_net()
    fit(Plain(net), Regularize((L2, SCHEDULE), L1))
    optimizer = OPTIMIZERS["sgd"](reference.parameters())
    moving, still = L2.on(reference), L1.on(reference)
    for step, (x, y) in enumerate([*batches(), *batches()]):
        moving.scale = SCHEDULE(step)
        optimizer.zero_grad()
        (nn.functional.cross_entropy(reference(x), y) + moving() + still()).backward()
        optimizer.step()
    close(net, reference)


def run(module: LightningModule, *callbacks: Callback, ckpt: Path | None = None) -> Trainer:
    trainer = bare_trainer(*callbacks, max_epochs=3)
    with quiet():
        trainer.fit(module, batches(), batches(), ckpt_path=ckpt)
    return trainer


def saver(folder: Path) -> ModelCheckpoint:
    """Saves after every epoch."""
    return ModelCheckpoint(folder, "{step}", save_top_k=-1, save_weights_only=False)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("make", "per_batch"), [(Plain, 1), (TwoOptimizers, 2)])
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_resumed_training_continues_the_schedule(name: str, make: Any, per_batch: int, tmp_path: Path):
    whole = make(a_net())
    run(whole, CALLBACKS[name](), saver(tmp_path / "run"))
    (tmp_path / "run").rename(tmp_path / "kept")
    checkpoints = sorted((tmp_path / "kept").iterdir())
    assert {path.name for path in checkpoints} == {f"step={n * STEPS * per_batch}.ckpt" for n in (1, 2, 3)}
    for path in checkpoints:
        torch.load(path, weights_only=True)
        rest = make(a_net())
        run(rest, CALLBACKS[name](), saver(tmp_path / "run"), ckpt=path)
        close(whole.net, rest.net)


def module(schedule: Any = SCHEDULE, penalties: Any = (L2,), **options: Any) -> RegularizedModule:
    make = partial(torch.optim.SGD, lr=0.05)
    return RegularizedModule(a_net(), optimizer=make, num_classes=3, penalties=penalties, schedule=schedule, **options)


def test_regularized_module_resumes_its_schedule(tmp_path: Path):
    one, other, still = module(), Plain(a_net(), partial(torch.optim.SGD, lr=0.05)), module(None)
    trainer = run(one)
    trainer.save_checkpoint(tmp_path / "end.ckpt")  # after the rules were taken off
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]["Regularize"]
    assert saved == {"steps": [[0, 0, 3 * STEPS]], "scales": [[0, SCHEDULE(3 * STEPS - 1)]]}
    run(other, Regularize(L2, schedule=SCHEDULE))
    close(one.net, other.net)
    run(still)
    assert not torch.equal(one.net[0].weight, still.net[0].weight)


def test_a_second_training_restarts_the_schedule():
    callback = Regularize((L2, SCHEDULE))
    for _ in range(2):
        net = a_net()
        fit(Plain(net), callback)
        assert callback.state_dict() == {"steps": [[0, 0, 2 * STEPS]], "scales": [[0, SCHEDULE(2 * STEPS - 1)]]}


def test_a_checkpoint_of_other_rules():
    callback = Regularize(L1, (L2, SCHEDULE))
    callback.load_state_dict({"steps": [[1, 0, 3]]})
    with pytest.raises(ValueError, match=r"counts steps of a schedule that is missing.*for the rules \[1\]"):
        callback.load_state_dict({"steps": [[0, 0, 3]]})
    assert Regularize(L1).state_dict() == {}


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Regularize(L2, schedule=0.5), TypeError, "schedule must be a function of the number of steps taken"),
        (lambda: Regularize((L2, 0.5)), TypeError, "such as rt.schedules.warmup.1000., received 0.5"),
        (lambda: Regularize((rt.MaxNorm(1.0), SCHEDULE)), TypeError, "has no strength to schedule"),
        (lambda: Regularize((L2, SCHEDULE, 1)), TypeError, "expected rules such as"),
        (lambda: Regularize(rt.MaxNorm(1.0), schedule=SCHEDULE), ValueError, "there is no penalty to follow warmup"),
        (lambda: module(penalties=(rt.Activity(L2, select="type:Tanh"),)), TypeError, "follows no schedule"),
        (lambda: module(penalties=()), ValueError, "there is no penalty to follow"),
    ],
)
def test_refused(call: Any, error: type[Exception], match: str):
    with pytest.raises(error, match=match):
        call()
