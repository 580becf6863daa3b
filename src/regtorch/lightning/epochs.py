"""Per-epoch callbacks, and means over an epoch's steps."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy
from torch import Tensor

__all__ = ["EpochCallback", "EpochRecord", "SampledMean", "WeightedMean", "logging_is_due"]


class EpochCallback(Callback):
    """Calls `on_epoch` when an epoch's metrics are complete.

    That is after `on_train_epoch_end` of every callback, in any order; Lightning has no hook for it.
    """

    _ended: int | None = None
    _validated = False

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Receive the epoch's number, from 1, and its metrics, with those under val/ if it was validated."""
        raise NotImplementedError

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated |= not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = trainer.current_epoch + 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._call_on_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._call_on_epoch(trainer)

    def _call_on_epoch(self, trainer: Trainer) -> None:
        epoch, self._ended = self._ended, None
        validated, self._validated = self._validated, False
        if epoch is not None:  # callback_metrics may still hold an earlier epoch's validation
            metrics = {
                n: float(v) for n, v in trainer.callback_metrics.items() if validated or not n.startswith("val/")
            }
            self.on_epoch(trainer, epoch, metrics)


class EpochRecord(EpochCallback):
    """Records the metrics of a fit's epochs in `epochs`, with each number under "epoch"."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs = []

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        self.epochs.append({"epoch": epoch, **metrics})


class WeightedMean:
    """The weighted mean of scalar tensors, kept on their device so that no step waits for it."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._weight = 0

    def add(self, value: Tensor, weight: int) -> None:
        """Add a value by a single operation, as a step of a small net takes no longer than a few."""
        if self._total is None:
            self._total = torch.zeros((), dtype=torch.promote_types(value.dtype, torch.float32), device=value.device)
        self._total.add_(value.detach(), alpha=weight)
        self._weight += weight

    def add_zero(self, weight: int) -> None:
        self._weight += weight

    def value(self, strategy: Strategy | None = None) -> Tensor | None:
        """The mean, or None without values.

        Args:
            strategy: the trainer's, for the mean over all processes; None for this process's.
        """
        if self._total is None:
            return None
        total, weight = self._total, torch.full_like(self._total, self._weight, dtype=torch.float64)
        if strategy is not None:
            total, weight = (strategy.reduce(part, reduce_op="sum") for part in (total, weight))
        return (total / weight).to(self._total.dtype)


class SampledMean:
    """The mean over steps of a quantity that is measured before some of them and linear in between.

    Exact if it is measured at every step.

    Args:
        first: the quantity before the first step.
    """

    def __init__(self, first: Any) -> None:
        self._last = first
        self._at = 0
        self._total = first * 0.0

    def add(self, value: Any, at: int) -> None:
        """Add the value after `at` steps."""
        gap = at - self._at
        self._total = self._total + gap * self._last + (value - self._last) * ((gap - 1) / 2)
        self._last, self._at = value, at

    def value(self) -> Any:
        """The mean over the steps so far."""
        return self._total / self._at if self._at else self._last


def logging_is_due(trainer: Trainer, step: int) -> bool:
    """Whether step `step` of an epoch, counted from 1, is one of every `log_every_n_steps`."""
    every: int = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue] (Lightning does not declare it)
    return every > 0 and step % every == 0
