"""Two processes of a Trainer that hold parts of each weight train as one process with the whole batch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning
import regtorch as rt
from processes import by_torchrun
from regtorch.lightning import FullyShard, Regularize, RegularizedModule
from regtorch.lightning.fully_shard import load_whole, shard
from regtorch.numerics.sharded import full

pytestmark = [
    pytest.mark.script,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed"),
]


class Own(lightning.LightningModule):
    """Anyone's module, sharded in `configure_model`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def configure_model(self) -> None:
        if self.device_mesh is not None:
            shard(self.net, self.device_mesh["data_parallel"])

    def training_step(self, batch: Any, _: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


class InOneGroup(nn.Module):
    """Cut as a whole, so that no weight is cut after a pass without a backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, _, self.second = net().children()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh())


def regularized() -> tuple[Any, list[Any]]:
    module = RegularizedModule(
        net(),
        optimizer=partial(torch.optim.Adam, lr=0.05),
        num_classes=3,
        penalties=[rt.L2(0.1), rt.GroupLasso(0.01)],
        constraints=[rt.MaxNorm(0.7)],
        schedule=rt.schedules.warmup(4),
    )
    return module, []


def bound() -> tuple[Any, list[Any]]:
    module = Own(net())
    return module, [Regularize(rt.L2(0.1).on(module.net), rt.MaxNorm(0.7).on(module.net))]


def unbound() -> tuple[Any, list[Any]]:
    return Own(InOneGroup()), [Regularize(rt.GroupLasso(0.1), rt.MaxNorm(0.7))]


MODULES = {"regularized": regularized, "bound": bound, "unbound": unbound}


def trained(folder: Path, kind: str, processes: int) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics after a training, and the checkpoint that it wrote."""
    x = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(x, torch.arange(32) % 3), batch_size=32 // processes)
    module, callbacks = MODULES[kind]()
    trainer = lightning.Trainer(
        accelerator="cpu",
        strategy=FullyShard() if processes > 1 else "auto",
        devices=processes,
        max_epochs=4,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        gradient_clip_val=0.5,
        default_root_dir=folder,
    )
    trainer.fit(module, loader)
    path = folder / f"{kind}-{processes}.ckpt"
    trainer.save_checkpoint(path)
    weights = torch.load(path)["state_dict"]
    with torch.no_grad():
        module(x) if kind == "regularized" else module.net(x)  # after which FSDP2 holds whole weights
    load_whole(module, {name: torch.zeros_like(weight) for name, weight in weights.items()})
    assert all(not full(weight).any() for weight in module.parameters())
    load_whole(module, weights)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}, torch.load(path)


def worker(rank: int, out: str) -> None:
    found = {kind: trained(Path(out), kind, 2) for kind in MODULES}
    torch.save(found, f"{out}/{rank}.pt")


@pytest.mark.filterwarnings("ignore")
def test_a_trainer_that_shards_the_net_trains_as_one_process(tmp_path: Path):
    by_torchrun(worker, str(tmp_path))
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for kind in MODULES:
        metrics, checkpoint = trained(tmp_path, kind, 1)
        for rank in (0, 1):
            said, saved = found[rank][kind]
            for name in ("train/penalty", "train/penalty_step", "train/task_loss", "train/loss"):
                assert said[name] == pytest.approx(metrics[name], rel=1e-5, abs=1e-6), (kind, rank, name)
            torch.testing.assert_close(saved["state_dict"], checkpoint["state_dict"], rtol=1e-5, atol=1e-6)
