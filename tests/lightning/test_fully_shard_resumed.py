"""A training by two processes that hold parts of each weight, interrupted and resumed, is the one that was not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning
import regtorch as rt
from processes import by_torchrun
from regtorch.lightning import FullyShard, Regularize
from regtorch.lightning.fully_shard import shard
from regtorch.numerics.sharded import full

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]
Optimizers = list[Callable[[Any], torch.optim.Optimizer]]

OPTIMIZERS: dict[str, Optimizers] = {
    "no state": [partial(torch.optim.SGD, lr=0.1)],
    "state": [partial(torch.optim.Adam, lr=0.05)],
    "state of the second alone": [partial(torch.optim.SGD, lr=0.1), partial(torch.optim.SGD, lr=0.1, momentum=0.9)],
}


class Net(lightning.LightningModule):
    """Two layers, each with an optimizer of its own if there are two; the rates fall at each epoch."""

    def __init__(self, optimizers: Optimizers) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
        self.make = optimizers
        self.automatic_optimization = False

    def configure_model(self) -> None:
        assert self.device_mesh is not None
        shard(self.net, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        parameters = list(self.net.parameters())
        each = [parameters] if len(self.make) == 1 else [parameters[:2], parameters[2:]]
        optimizers = [make(of) for make, of in zip(self.make, each, strict=True)]
        return optimizers, [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5) for optimizer in optimizers]

    def training_step(self, batch: Any, _: int) -> Any:
        optimizers: Any = self.optimizers(use_pl_optimizer=True)
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.manual_backward(loss)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()  # so that a checkpoint finds no gradients
        return loss

    def on_train_epoch_end(self) -> None:
        schedulers: Any = self.lr_schedulers()
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler.step()


def trained(folder: Path, name: str, checkpoint: Path | None = None) -> dict[str, Any]:
    """The weights, the rates and the counted steps after a training that writes a checkpoint in each epoch."""
    x = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    module = Net(OPTIMIZERS[name])
    warm = rt.schedules.warmup(9)
    regularize = Regularize(rt.L2(0.1), rt.GroupLasso(0.01), rt.L2SP(0.3), rt.MaxNorm(0.7), schedule=warm)
    trainer = lightning.Trainer(
        accelerator="cpu",
        strategy=FullyShard(),
        devices=2,
        max_epochs=4,
        callbacks=[regularize, ModelCheckpoint(folder / name, "{epoch}", save_top_k=-1)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, torch.arange(32) % 3), batch_size=8), ckpt_path=checkpoint)
    return {
        "weights": {key: full(p.detach()) for key, p in module.named_parameters()},
        "rates": [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups],
        "counted": regularize.state_dict(),
        "penalty": regularize.penalty(torch.device("cpu")).item(),
    }


def worker(rank: int, out: str) -> None:
    folder = Path(out)
    for name in OPTIMIZERS:
        whole = trained(folder, name)
        resumed = trained(folder, name, folder / name / "epoch=1.ckpt")
        torch.save((resumed, whole), folder / f"{name}-{rank}.pt")


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_training_is_the_one_that_was_not_interrupted(tmp_path: Path):
    by_torchrun(worker, str(tmp_path))
    for name in OPTIMIZERS:
        for rank in (0, 1):
            resumed, whole = torch.load(tmp_path / f"{name}-{rank}.pt")
            weights, expected = resumed.pop("weights"), whole.pop("weights")
            assert resumed == whole, (name, rank)
            assert {steps for _, _, steps in whole["counted"]["steps"]} == {8}, (name, rank)
            assert all(torch.equal(weights[key], value) for key, value in expected.items()), (name, rank)
