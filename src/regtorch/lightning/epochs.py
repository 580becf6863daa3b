"""Per-epoch callbacks."""

from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["EpochCallback", "EpochRecord", "logging_is_due"]


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


def logging_is_due(trainer: Trainer, step: int) -> bool:
    """Whether step `step` of an epoch, counted from 1, is one of every `log_every_n_steps`."""
    every: int = trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue] (Lightning does not declare it)
    return every > 0 and step % every == 0
