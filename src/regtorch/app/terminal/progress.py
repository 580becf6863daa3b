"""Progress of a training: a live bar on a terminal, a plain line per epoch elsewhere."""

import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from regtorch.app.ground.live import is_live
from regtorch.app.terminal.bar import make_bar
from regtorch.app.terminal.epoch_lines import EpochLines
from regtorch.app.terminal.watch import Watch
from regtorch.lightning.epochs import EpochCallback
from regtorch.lightning.module import RegularizedModule

__all__ = ["Progress", "is_penalised"]

_SHOWN = ("task_loss", "penalty", "accuracy", "r2")
_REFRESH = 10  # steps between reads of the losses, each of which waits for the device


class Progress(EpochCallback, ProgressBar):
    """A line per finished epoch and, on a terminal, a bar for the current one."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: Any = None
        self._own_bar = True
        self._task: Any = None
        self._lines = EpochLines()
        self._penalised = True

    def disable(self) -> None:
        """Show nothing; Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._penalised = not isinstance(pl_module, RegularizedModule) or is_penalised(pl_module)
        self._lines = EpochLines(_of(trainer), penalised=self._penalised)
        if not (self._enabled and is_live(sys.stdout)):
            return
        shared = None if Watch.current is None else Watch.current.bar  # the sweep's: a terminal shows one live bar
        self._own_bar = shared is None
        self._bar = make_bar() if shared is None else shared
        self._task = self._bar.add_task("epoch 1", total=None, below="")
        if self._own_bar:
            self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the previous epoch's line and start this one's bar."""
        super().on_train_epoch_start(trainer, pl_module)
        if self._bar is not None:
            total = trainer.num_training_batches
            self._bar.reset(
                self._task,
                total=None if total == float("inf") else total,
                description=f"epoch {trainer.current_epoch + 1}{_of(trainer)}",
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None:
            return
        if batch_idx % _REFRESH == 0:
            self._bar.update(self._task, below=self._below(_latest(trainer, pl_module)))
        self._bar.update(self._task, completed=batch_idx + 1)

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        """Print the epoch's line."""
        if not self._enabled:
            return
        lines = "\n".join(self._lines(epoch, metrics))
        if self._bar is not None:
            self._bar.console.print(lines, highlight=False, markup=False, soft_wrap=True)
        else:
            print(lines, flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the last epoch's line and close the bar."""
        super().on_train_end(trainer, pl_module)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _below(self, metrics: Mapping[str, float]) -> str:
        names = [name for name in _SHOWN if self._penalised or name != "penalty"]
        values = [f"{name} {metrics[key]:.4f}" for name in names if (key := f"train/{name}") in metrics]
        return f"train: {'  '.join(values)}" if values else ""

    def _close(self) -> None:
        if self._bar is not None:
            if self._own_bar:
                self._bar.stop()
            else:
                self._bar.remove_task(self._task)
            self._bar = None


def is_penalised(module: RegularizedModule) -> bool:
    """Whether a training has a penalty at all."""
    return bool(module.penalties) or module.penalises_outputs


def _latest(trainer: Trainer, module: LightningModule) -> dict[str, float]:
    """The newest value of each metric of training; those of validation are of the epoch before, whose line has them."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    newest = metrics | {name.removesuffix("_step"): v for name, v in metrics.items() if name.endswith("_step")}
    return newest | module.running_score() if isinstance(module, RegularizedModule) else newest


def _of(trainer: Trainer) -> str:
    return f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
