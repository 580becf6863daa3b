"""Stop a diverged training: a loss, a weight or the optimizer's state is no longer finite."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from regtorch.app.ground.errors import DIVERGED, Diverged
from regtorch.lightning.epochs import EpochCallback, logging_is_due
from regtorch.numerics.sharded import is_sharded

__all__ = ["StopWhenDiverged", "check_losses"]

_MOST_GROWTH = 2.0**24
"""The largest growth of a loss; beyond it, float32's 24 bits no longer resolve the initial value."""
_ADVICE = f"training {DIVERGED}; lower optimizer.lr or reg.lam, or set trainer.gradient_clip_val=1"


class StopWhenDiverged(EpochCallback):
    """Raises `Diverged` if a loss, a weight or the optimizer's state is NaN or infinite.

    Losses are checked every `log_every_n_steps` steps, to avoid waiting for the device at each, and at the last step of
    an epoch, before validation and checkpoints; weights and optimizer state after each epoch.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = batch_idx + 1
        if (logging_is_due(trainer, step) or step == 1 or trainer.is_last_batch) and outputs:
            loss = outputs if isinstance(outputs, Tensor) else outputs.get("loss")
            if isinstance(loss, Tensor) and not torch.isfinite(loss).all():
                when = f" in epoch {trainer.current_epoch + 1}, step {step}"
                raise Diverged(f"train/loss became {float(loss)}{when}: {_ADVICE}")

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Check losses and weights, but no score: R² of a single sample is NaN."""
        check_losses(metrics, {}, f" in epoch {epoch}")
        _check_weights(trainer, f" in epoch {epoch}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the last epoch, and the weights if it was incomplete."""
        super().on_train_end(trainer, pl_module)
        _check_weights(trainer, " in the last epoch")


def check_losses(metrics: Mapping[str, float], start: Mapping[str, float], when: str) -> None:
    """Check losses after an epoch or a training; `start` has the untrained net's, without the stage in their names.

    Raises:
        Diverged: a loss is not finite, or far larger than at the start.
    """
    for name, value in metrics.items():
        part = name.partition("/")[2]
        if part not in ("task_loss", "penalty", "loss"):
            continue
        if not math.isfinite(value):
            raise Diverged(f"{name} became {value}{when}: {_ADVICE}")
        if part in start and value > _MOST_GROWTH * start[part]:
            raise Diverged(f"{name} became {value:.3g}{when}, from {start[part]:.3g} before training: {_ADVICE}")


@torch.no_grad()
def _check_weights(trainer: Trainer, when: str) -> None:
    """Check all weights, batch norm statistics and optimizer state, with one wait for the device."""
    module = trainer.lightning_module
    tensors = dict(_tensors(trainer, module))
    sizes = [torch.linalg.vector_norm(t, math.inf).to(module.device, torch.float32) for t in tensors.values()]
    finite = torch.stack(sizes).isfinite() if sizes else torch.ones(1, dtype=torch.bool)
    if not trainer.strategy.reduce_boolean_decision(bool(finite.all())):
        where = next((name for name, fine in zip(tensors, finite.tolist(), strict=True) if not fine), "another process")
        raise Diverged(f"{where} has NaN or infinite values{when}: {_ADVICE}")


def _tensors(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Tensor]]:
    names = {id(p): name.removeprefix("net.") for name, p in module.named_parameters()}
    tensors = [(names[id(p)], p) for p in module.parameters()]
    for name, norm in module.named_modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            tensors += [(f"{name.removeprefix('net.')}.{key}", value) for key, value in norm.named_buffers()]
    for optimizer in trainer.optimizers:
        for p, state in optimizer.state.items():
            of = f"of {names.get(id(p), 'a weight')} in {type(optimizer).__name__}"
            tensors += [(f"{key} {of}", value) for key, value in state.items() if isinstance(value, Tensor)]
    for name, tensor in tensors:
        part = tensor.to_local() if is_sharded(tensor) else tensor  # pyright: ignore[reportAttributeAccessIssue]
        if part.is_floating_point() and part.numel() and part.layout == torch.strided:
            yield name, part.detach()
