"""Stop a training that has diverged: a loss, a weight or the optimizer's state is no longer a finite number."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from regtorch.sharded import is_sharded
from regtorch.training.epochs import EpochCallback, logging_is_due
from regtorch.training.errors import Diverged

__all__ = ["StopWhenDiverged", "check_losses"]

_MOST = 2.0**24
"""How far a loss may grow: of float32's 24 bits none is left for what it was at the start."""
_ADVICE = "training diverged; lower optimizer.lr or reg.lam, or set trainer.gradient_clip_val=1"


class StopWhenDiverged(EpochCallback):
    """Raises `Diverged` at the first loss that is NaN, infinite or beyond all measure, and for such weights.

    It looks at losses every `log_every_n_steps` steps, so that a device is not waited for at each, and at the last step
    of an epoch, before weights are validated and saved; there it looks at the weights and the optimizer's state, too.

    Args:
        start: the untrained net's task loss, penalty and loss, by these names.
    """

    def __init__(self, start: Mapping[str, float]) -> None:
        self.start = start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the step's loss where it is time to, and at the weights after the last step."""
        step = batch_idx + 1
        if (logging_is_due(trainer, step) or step == 1 or trainer.is_last_batch) and outputs:
            loss = outputs if isinstance(outputs, Tensor) else outputs.get("loss")
            if isinstance(loss, Tensor) and not torch.isfinite(loss).all():
                when = f" in epoch {trainer.current_epoch + 1}, step {step}"
                raise Diverged(f"train/loss became {float(loss)}{when}: {_ADVICE}")
        if trainer.is_last_batch:
            _check_weights(trainer, pl_module)

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Look at the epoch's losses; a score may be NaN by itself, as R² is of a single sample."""
        check_losses(metrics, self.start, f" in epoch {epoch}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the weights where the last epoch was not a whole one, and at its losses."""
        _check_weights(trainer, pl_module)
        super().on_train_end(trainer, pl_module)


def check_losses(metrics: Mapping[str, float], start: Mapping[str, float], when: str) -> None:
    """Look at losses after an epoch, or a test.

    Raises:
        Diverged: one is not finite, or so much larger than `start` has it that nothing was learned.
    """
    for name, value in metrics.items():
        part = name.partition("/")[2]
        if part not in ("task_loss", "penalty", "loss"):
            continue
        if not math.isfinite(value):
            raise Diverged(f"{name} became {value}{when}: {_ADVICE}")
        if part in start and value > _MOST * start[part]:
            raise Diverged(f"{name} became {value:.3g}{when}, from {start[part]:.3g} of the untrained net: {_ADVICE}")


@torch.no_grad()
def _check_weights(trainer: Trainer, module: LightningModule) -> None:
    """Look at all weights, what batch norm has measured, and the optimizers' state, waiting for a device once.

    Raises:
        Diverged: one holds NaN or infinite numbers, on whichever process.
    """
    held = dict(_held(trainer, module))
    sizes = [torch.linalg.vector_norm(t, math.inf).to(module.device, torch.float32) for t in held.values()]
    finite = torch.stack(sizes).isfinite() if sizes else torch.ones(1, dtype=torch.bool)
    if not trainer.strategy.reduce_boolean_decision(bool(finite.all())):
        where = next((name for name, fine in zip(held, finite.tolist(), strict=True) if not fine), "another process")
        raise Diverged(f"{where} holds NaN or infinite numbers in epoch {trainer.current_epoch + 1}: {_ADVICE}")


def _held(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Tensor]]:
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
