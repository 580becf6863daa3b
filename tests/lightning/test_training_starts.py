"""Rules that remember the weights of their binding, in Lightning: a resumed training keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import regtorch as rt
from bare_trainer import bare_trainer
from plain_modules import STEPS, Plain, a_net, batches
from regtorch.app.ground.silence import quiet
from regtorch.lightning import Regularize

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")

ONES = {f"net.{name}": torch.ones_like(p) for name, p in a_net().named_parameters()}
RULES = {
    "L2SP": lambda: rt.L2SP(0.5),
    "EWC": lambda: rt.EWC(0.5, ONES),
    "masked": lambda: rt.masked(rt.L2SP(0.5), {"net.0.weight": ONES["net.0.weight"] > 0}),
}


class Later(Plain):
    """A module that makes its net in `configure_model`."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())

    def configure_model(self) -> None:
        if isinstance(self.net, nn.Identity):
            self.net = a_net()


def run(module: Any, rule: Any, folder: Path, ckpt: Path | None = None) -> Trainer:
    saver = ModelCheckpoint(folder, "{step}", save_top_k=-1, save_weights_only=False)
    trainer = bare_trainer(Regularize(rule), saver, max_epochs=3)
    with quiet():
        trainer.fit(module, batches(), batches(), ckpt_path=ckpt)
    return trainer


@pytest.mark.parametrize("name", RULES)
def test_a_resumed_training_keeps_its_starting_point(name: str, tmp_path: Path):
    whole, rest = Plain(a_net()), Plain(a_net())
    run(whole, RULES[name](), tmp_path / "whole")
    run(rest, RULES[name](), tmp_path / "rest", ckpt=tmp_path / "whole" / f"step={STEPS}.ckpt")
    for p, q in zip(whole.parameters(), rest.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


def test_a_second_fit_starts_where_the_first_ended(tmp_path: Path):
    module, callback = Plain(a_net()), Regularize(rt.L2SP(0.5))
    for _ in range(2):
        start = {name: p.detach().clone() for name, p in module.named_parameters()}
        with quiet():
            bare_trainer(callback, max_epochs=1).fit(module, batches(), batches())
        expected = rt.L2SP(0.5, start).on(module)()
        torch.testing.assert_close(callback.bound[0](), expected)


def test_a_resumed_training_without_its_starting_point_is_refused(tmp_path: Path):
    run(Later(), rt.L2SP(0.5), tmp_path)
    with pytest.raises(ValueError, match=r"Regularize: L2SP\(lam=0.5\) .* start=.* or bind it"):
        run(Later(), rt.L2SP(0.5), tmp_path / "rest", ckpt=tmp_path / f"step={STEPS}.ckpt")
    start = {f"net.{name}": p.detach() for name, p in a_net().named_parameters()}
    run(Later(), rt.L2SP(0.5, start), tmp_path / "rest", ckpt=tmp_path / f"step={STEPS}.ckpt")
