"""The callback that saves a run while it trains, and restores what Lightning's checkpoints leave out."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from regtorch.app.ground.signals import end_now, is_asked, keep_handler
from regtorch.app.run.csv_logger import CSVLogger
from regtorch.app.run.lean_loop import log_again, step_values
from regtorch.app.run.saves.event_files import sizes
from regtorch.app.run.saves.random_numbers import restore_generators, states_of_generators
from regtorch.app.run.saves.saves import OURS, Saves
from regtorch.lightning.epochs import EpochCallback, EpochRecord
from regtorch.lightning.means import of_all_processes
from regtorch.lightning.module import RegularizedModule

__all__ = ["Saver"]

_PARTS = ("pytorch-lightning_version", "state_dict", "optimizer_states", "loops", "callbacks", "global_step", OURS)
_OUR_PARTS = ("folder", "generators", "scores", "metrics", "epochs", "validated", "rows", "of_step", "unlogged")


class Saver(Checkpoint):
    """Saves between two steps, where a training that resumes is the one that was not interrupted, to the bit.

    That is after every step but an epoch's last, which validation and the epoch's end follow, and at the start of the
    next epoch. A signal that asks the program to end is answered there: save, then end. Lightning runs the hooks of
    checkpoint callbacks after all others, so that the state of those is complete.

    Args:
        saves: those of the run.
    """

    def __init__(self, saves: Saves) -> None:
        self.saves = saves
        self._ours: dict[str, Any] = {}  # to be restored
        self._generators: Mapping[str, Any] | None = None
        self._trained = False  # since it resumed
        self._began: Mapping[str, Any] | None = None  # the generators of a run without a seed, before it drew a net

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to resume from, once it is known to be one of this program; Lightning loads it."""
        if self.saves.resumed is None:
            return None
        self._loaded()
        return self.saves.resumed.state

    def _loaded(self) -> Mapping[str, Any]:
        """Our part of the state to resume from."""
        ours = self.saves.load(*_PARTS, mapped=True)[OURS]
        self.saves.refuse_lacking(ours, _OUR_PARTS)
        return ours

    def draw_again(self) -> None:
        """Let a run without a seed draw the net that it began with, whose weights `L2SP` pulls to."""
        began = None if self.saves.resumed is None else self._loaded().get("began")  # earlier saves have none
        if began is not None:
            restore_generators(began)
        self._began = states_of_generators()

    # -- saving

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is due and nothing but the next step follows."""
        loop = trainer.fit_loop.epoch_loop
        if not (loop._should_accumulate() or loop._num_ready_batches_reached() or _validates(trainer)):
            self._at_rest(trainer, within=True)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before an epoch's first step."""
        if trainer.global_step:
            self._at_rest(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what has been trained, before the tests."""
        self._at_rest(trainer)

    def _at_rest(self, trainer: Trainer, *, within: bool = False) -> None:
        asked = is_asked()
        if asked or self._is_due(trainer):
            self.save(trainer, within=within)
        if asked:
            end_now()

    def _is_due(self, trainer: Trainer) -> bool:
        due = self.saves.every.is_due(trainer.global_step)
        if trainer.world_size > 1 and self.saves.every.by_time:  # all processes must decide alike; clocks differ
            return trainer.strategy.broadcast(due)
        return due

    def save(self, trainer: Trainer, *, within: bool = False) -> None:
        """Write a save, `within` an epoch or between two."""
        unwritten = _written(trainer)
        checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        checkpoint[OURS] = {
            "folder": str(self.saves.folder),
            "generators": of_all_processes(trainer, states_of_generators()),
            "scores": of_all_processes(trainer, _scores(trainer)),
            "metrics": dict(trainer.callback_metrics),
            "epochs": [callback.epochs for callback in _records(trainer)],
            "validated": any(c._validated for c in _callbacks(trainer) if isinstance(c, EpochCallback)),
            "rows": [logger.experiment.rows for logger in trainer.loggers if isinstance(logger, CSVLogger)],
            "events": [sizes(logger) for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)],
            "of_step": step_values(trainer) if within else {},
            "unlogged": _unlogged(trainer) if within else None,
            "began": self._began,
        }
        if not trainer.is_global_zero:
            self.saves.every.begin(trainer.global_step)  # as process 0, or they would not meet at the next save
            return
        if unwritten is not None:
            self.saves.failed(trainer.global_step, unwritten)
            return
        beside = _checkpoints(trainer, self.saves.folder)
        self.saves.write(checkpoint, beside, step=trainer.global_step, epoch=trainer.current_epoch)

    # -- resuming

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._ours = checkpoint.get(OURS, {})
        before = str(self._ours.get("folder", self.saves.folder))
        checkpoint["callbacks"] = _moved(checkpoint.get("callbacks", {}), before, str(self.saves.folder))
        checkpoint.get("callbacks", {}).pop("Timer", None)  # trainer.max_time is that of a process

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore what callbacks reset when fitting starts."""
        for callback, epochs in zip(_records(trainer), self._ours.get("epochs", []), strict=False):
            callback.epochs = [dict(epoch) for epoch in epochs]
        tables = [logger for logger in trainer.loggers if isinstance(logger, CSVLogger)]
        for logger, rows in zip(tables, self._ours.get("rows", []), strict=False):
            if trainer.is_global_zero:
                logger.experiment.keep(rows)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore metrics, and begin an epoch that had not begun."""
        if trainer.world_size == 1:
            keep_handler(signal.SIGTERM)
            trainer._signal_connector.received_sigterm = False  # it may have come since Lightning put its handler in
        if not self._ours:
            return
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_start:
            loop.restarting = False  # Lightning would take the epoch before as the one to finish
        self._trained = True
        self._restore_metrics(trainer)
        for callback in _callbacks(trainer):
            if isinstance(callback, EpochCallback):
                callback._validated = self._ours["validated"]
        if (unlogged := self._ours["unlogged"]) is not None:
            metrics = {**self._ours["of_step"], "epoch": unlogged["epoch"]}
            trainer._logger_connector.log_metrics(metrics, step=unlogged["step"])
        if isinstance(pl_module, RegularizedModule):
            state = self._ours["scores"][trainer.global_rank]
            if state is not None:
                pl_module.scores["train"].load_state_dict(state)
        self._generators = self._ours["generators"][trainer.global_rank]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore the generators, after everything that a start draws from them."""
        if self._generators is not None:
            log_again(trainer, pl_module, self._ours["of_step"])
            restore_generators(self._generators)
            self._generators = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the metrics of a training that had ended when it was saved."""
        if self._ours and not self._trained:
            self._restore_metrics(trainer)
            restore_generators(self._ours["generators"][trainer.global_rank])

    def _restore_metrics(self, trainer: Trainer) -> None:
        """Restore the metrics of the epochs before."""
        trainer._logger_connector._callback_metrics.update(self._ours["metrics"])


def _written(trainer: Trainer) -> OSError | None:
    """Write what the loggers have recorded, to which a save refers; the error if that fails."""
    try:
        for logger in trainer.loggers:
            logger.save()
    except OSError as error:
        return error
    return None


def _validates(trainer: Trainer) -> bool:
    """Whether validation follows the current batch."""
    fetcher: Any = trainer.fit_loop._data_fetcher
    return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def _moved(value: Any, before: str, now: str) -> Any:
    """States of callbacks with the paths of the run's folder replaced by those of where it is now."""
    if isinstance(value, Mapping):
        return {_moved(key, before, now): _moved(below, before, now) for key, below in value.items()}
    inside = isinstance(value, str) and (value == before or value.startswith(f"{before}/"))
    return f"{now}{value[len(before) :]}" if inside else value


def _unlogged(trainer: Trainer) -> dict[str, Any] | None:
    """When Lightning logs the step's metrics, which it does after all hooks; None if it does not."""
    if not (trainer._logger_connector.should_update_logs and step_values(trainer)):
        return None
    return {"epoch": trainer.current_epoch, "step": trainer.fit_loop.epoch_loop._batches_that_stepped}


def _scores(trainer: Trainer) -> dict[str, Any] | None:
    module = trainer.lightning_module
    return module.scores["train"].state_dict() if isinstance(module, RegularizedModule) else None


def _callbacks(trainer: Trainer) -> list[Any]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue] (Lightning does not declare it)


def _records(trainer: Trainer) -> list[EpochRecord]:
    return [callback for callback in _callbacks(trainer) if isinstance(callback, EpochRecord)]


def _checkpoints(trainer: Trainer, run: Path) -> list[Path]:
    """The files of checkpoint callbacks in the run's folder, which a resumed run needs as they are now."""
    callbacks = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    names = {name for c in callbacks for name in (c.best_model_path, c.last_model_path, *c.best_k_models) if name}
    return [path for path in map(Path, sorted(names)) if path.is_relative_to(run) and path.is_file()]
