"""Trainings by Lightning's Trainer and by Fabric."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision as FabricPrecision
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy as FabricModelParallel
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from regtorch.lightning import Regularize
from trainers.loops import attach
from trainers.modes import EPOCHS, RULES, Mode, loader, loss, net, optimizer, scaler

__all__ = ["fabric", "trainer"]

QUIET = {
    **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False),
    "log_every_n_steps": 3,
}


class _Module(LightningModule):
    """Anyone's."""

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.mode = mode
        self.net = net()

    def configure_model(self) -> None:
        """Shard, if that is what is tried."""
        if self.mode.sharded and not any(isinstance(p, DTensor) for p in self.parameters()):
            _sharded(self.net, self.device_mesh)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self)


def _sharded(model: Any, mesh: Any) -> Any:
    fully_shard(model[0], mesh=mesh["data_parallel"])
    return fully_shard(model, mesh=mesh["data_parallel"])


def _precision(mode: Mode, plugin: Any) -> dict[str, Any]:
    if mode.autocast == torch.float16:
        return {"plugins": [plugin("16-mixed", "cpu", scaler(mode))]}
    return {"precision": "bf16-mixed"} if mode.autocast == torch.bfloat16 else {}


def _places(mode: Mode, model_parallel: Any) -> dict[str, Any]:
    if mode.sharded:
        return {"devices": 2, "strategy": model_parallel(data_parallel_size=2, tensor_parallel_size=1)}
    return {"devices": mode.processes, "strategy": "ddp" if mode.processes > 1 else "auto"}


def trainer(mode: Mode) -> nn.Module:
    """Lightning's Trainer, with the callback."""

    def of(epochs: int) -> Trainer:
        return Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            accumulate_grad_batches=mode.accumulate,
            gradient_clip_val=mode.clip,
            callbacks=[Regularize(*RULES)],
            use_distributed_sampler=False,
            **QUIET,
            **_precision(mode, MixedPrecision),
            **_places(mode, ModelParallelStrategy),
        )

    module = _Module(mode)
    if not mode.resumed:
        called: Any = torch.compile(module, backend="aot_eager") if mode.compiled else module
        of(EPOCHS).fit(called, loader(mode))
        return module.net
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.ckpt"
        first = of(1)
        first.fit(module, loader(mode))
        first.save_checkpoint(path)
        module = _Module(mode)
        of(EPOCHS).fit(module, loader(mode), ckpt_path=path)
    return module.net


def fabric(mode: Mode) -> nn.Module:
    """Fabric, whose optimizers are wrapped."""
    places = _places(mode, partial(FabricModelParallel, _sharded))
    tool = Fabric(accelerator="cpu", **_precision(mode, FabricPrecision), **places)
    tool.launch()

    def prepared() -> tuple[nn.Module, Any, Any]:
        bare = net()
        model: Any = torch.compile(bare, backend="aot_eager") if mode.compiled else bare
        if mode.sharded:  # the optimizer owns the shards
            model = tool.setup_module(model)
            o = tool.setup_optimizers(optimizer(model))
        else:
            model, o = tool.setup(model, optimizer(bare))
        attach(model, o)
        return bare, model, o

    bare, model, o = prepared()
    for epoch in range(EPOCHS):
        if mode.resumed and epoch:
            with tempfile.TemporaryDirectory() as folder:
                tool.save(Path(folder) / "saved", {"model": model, "optimizer": o})
                bare, model, o = prepared()
                tool.load(Path(folder) / "saved", {"model": model, "optimizer": o})
        for i, (x, y) in enumerate(loader(mode)):
            steps = (i + 1) % mode.accumulate == 0
            with tool.no_backward_sync(model, enabled=not steps and mode.processes > 1):
                tool.backward(loss(model(x), y) / mode.accumulate)
            if steps:
                if mode.clip is not None:
                    tool.clip_gradients(model, o, max_norm=mode.clip)
                o.step()
                o.zero_grad()
    return bare
