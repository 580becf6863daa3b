"""The callback that watches a trainer's training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from regtorch.doctor.along.attending import Attending

__all__ = ["Doctor"]


class Doctor(Attending, Callback):
    """Watches a training as `rt.watch` does, with automatic or manual optimization, and says when something turns bad.

    Put it behind `Regularize`, if there is one. With several processes each watches its own share of the batches, and
    process 0 speaks.

    Args:
        every: look at every n-th step; None looks as often as the budget allows.
        budget: the share of the training's time that looks may cost, which they measure themselves.
        on_finding: called with each finding instead of a `DoctorWarning`, in process 0.

    Attributes:
        findings: those of the last fit, most important first; "step" in their numbers is the optimizer's.

    Raises:
        TypeError: an argument has the wrong type; at the start of a fit, an optimizer runs no step hooks.
        ValueError: a number is out of range.

    Example:
        >>> import lightning, regtorch as rt
        >>> from regtorch.lightning import Doctor
        >>> trainer = lightning.Trainer(callbacks=[Doctor(budget=0.01)])  # doctest: +SKIP
        >>> Doctor().findings
        []
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        watching = self._begin(pl_module, trainer.optimizers, scaler, speaks=trainer.is_global_zero)
        watching.count_batches_by_tell()  # Lightning need not call the module as a whole

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._watching is None:
            return
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):
            loss = None
        elif pl_module.automatic_optimization:  # which divides the loss of a batch by the number of batches a step
            loss = loss * trainer.accumulate_grad_batches
        self._watching.tell(loss)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end()
