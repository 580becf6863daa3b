"""Stop when the loss is no longer a number."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from regtorch.training.epochs import EpochCallback, logging_is_due
from regtorch.training.errors import Diverged

__all__ = ["StopWhenDiverged"]


class StopWhenDiverged(EpochCallback):
    """Raises `Diverged` at the first loss that is NaN or infinite.

    It looks every `log_every_n_steps` steps, so that a device is not waited for at each, and at the last step of an
    epoch, before weights are validated and saved.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the step's loss where it is time to."""
        step = batch_idx + 1
        if not (logging_is_due(trainer, step) or step == 1 or trainer.is_last_batch) or not outputs:
            return
        loss = outputs if isinstance(outputs, torch.Tensor) else outputs.get("loss")
        if isinstance(loss, torch.Tensor) and not torch.isfinite(loss).all():
            _stop("train/loss", float(loss), trainer.current_epoch + 1, f", step {step}")

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Look at the epoch's losses; a score may be NaN by itself, as R² is of a single sample."""
        for name, value in metrics.items():
            if not math.isfinite(value) and name.endswith(("loss", "penalty")):
                _stop(name, value, epoch)


def _stop(name: str, value: float, epoch: int, step: str = "") -> None:
    raise Diverged(
        f"{name} became {value} in epoch {epoch}{step}: training diverged; "
        "lower optimizer.lr or reg.lam, or set trainer.gradient_clip_val=1"
    )
