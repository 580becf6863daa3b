"""Lightning's own tools: the wrapper around an optimizer, and layers that a callback unfreezes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, EMAWeightAveraging
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn import functional as F
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, TensorDataset

import lightning
import regtorch as rt
from bare_trainer import bare_trainer
from nets import dense
from plain_modules import Plain, a_net, batches
from regtorch.app.ground.silence import quiet
from regtorch.steps.hooks import attached_to
from regtorch.training import Regularize
from third_party.shapes import Holder

close = torch.testing.assert_close
LAM = 0.1


def test_the_optimizer_in_the_wrapper_is_found():
    model, *_ = dense()
    optimizer = SGD(model.parameters(), lr=0.5)
    wrapper = LightningOptimizer(Holder(optimizer, "base_optimizer"))
    reg = rt.L2(1.0).on(model)
    handle = reg.attach(wrapper)
    assert attached_to(wrapper) == attached_to(optimizer) == [reg]
    with pytest.raises(ValueError, match="already"):
        reg.attach(wrapper)
    optimizer.step()
    assert model[0].weight.abs().max() < 1e-15  # w - 0.5 · 2w
    handle.remove()
    assert attached_to(wrapper) == [] == list(optimizer._optimizer_step_pre_hooks)


class Unfreeze(BaseFinetuning):
    """Freezes the first layer, and unfreezes it in epoch 1 as a new param group."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net[0])

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Optimizer) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.net[0], optimizer, lr=0.05)


class Module(lightning.LightningModule):
    def __init__(self, rule: rt.Penalty | None) -> None:
        super().__init__()
        self.net, *_ = dense()
        self.rule = rule

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        return loss if self.rule is None else loss + self.rule.on(self)()

    def configure_optimizers(self) -> Optimizer:
        return SGD([p for p in self.parameters() if p.requires_grad], lr=0.1)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_lightnings_finetuning():
    _, x, y = dense()
    results = []
    for by_callback in (True, False):
        module = Module(None if by_callback else rt.L2(LAM))
        callback = Regularize(rt.L2(LAM))
        trainer = bare_trainer(*([callback] if by_callback else []), Unfreeze(), max_epochs=3)
        trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=8))
        results.append([p.detach().clone() for p in module.parameters()])
        if by_callback:
            assert "net.0.weight joined, unfrozen, at step 3 of SGD" in callback.bound[0].receipt()
    close(results[0], results[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("first", [True, False])
def test_an_evaluation_of_averaged_weights_logs_their_penalty(first: bool):
    """`WeightAveraging` swaps the averages in for a validation: loss and penalty are of the same weights."""

    class Seen(Callback):
        def on_validation_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
        ) -> None:
            self.penalty = rt.L2(0.03).on(pl_module)().item()

    module, seen, regularize = Plain(a_net()), Seen(), Regularize(rt.L2(0.03))
    averages = EMAWeightAveraging(decay=0.5)
    callbacks = (regularize, averages, seen) if first else (averages, regularize, seen)
    trainer = bare_trainer(*callbacks, max_epochs=1)
    with quiet():
        trainer.fit(module, batches(), batches())
    assert trainer.callback_metrics["val/penalty"].item() == pytest.approx(seen.penalty, rel=1e-12)
