"""A worker: takes trials, trains them and reports results, until none is waiting."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer

from regtorch.app.config.compose import composed
from regtorch.app.ground.errors import RunError, is_disk_full, message
from regtorch.app.ground.signals import exposed, shielded
from regtorch.app.record.file_names import SAVE
from regtorch.app.record.outputs import write_error
from regtorch.app.record.overrides import chosen, quoted
from regtorch.app.record.ranking import named
from regtorch.app.run.job import train
from regtorch.app.search.book import LOSS, Book
from regtorch.app.search.plan import Plan
from regtorch.app.search.storage import interrupted
from regtorch.lightning.epochs import EpochCallback

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["train_trial", "work"]

_OMITTED = ("best", "last", "progress", "history")  # callbacks not needed, as the best setting is trained again


class Report(EpochCallback):
    """Reports a trial's epochs to its search, and ends it if the pruner decides so.

    Attributes:
        best: the best value so far; None before the first.
        loss: the task loss of the same epoch; infinite if unknown.
    """

    def __init__(self, trial: Trial, monitor: str, maximize: bool) -> None:
        self.trial = trial
        self.monitor = monitor
        self.sign = 1 if maximize else -1
        self.best: float | None = None
        self.loss = math.inf
        self.logged: set[str] = set()
        self.reported: dict[int, float] = {}  # the best value so far by epoch

    def on_epoch(self, trainer: Trainer, epoch: int, metrics: dict[str, float]) -> None:
        from optuna import TrialPruned

        self.logged |= {name for name in metrics if not name.endswith("_step")}
        monitor = named(self.monitor, metrics)
        if monitor not in metrics:
            if monitor.partition("/")[0] in {name.partition("/")[0] for name in metrics}:
                raise self.never_logged()
            return  # an epoch without validation
        value = metrics[monitor]
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best, self.loss = value, metrics.get(f"{monitor.partition('/')[0]}/task_loss", math.inf)
        last = epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps
        with shielded():
            self.trial.report(self.best, epoch)
            self.reported[epoch] = self.best
            if not last and self.trial.should_prune():
                raise TrialPruned

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "logged": sorted(self.logged), "reported": self.reported}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the trial that was interrupted: its values count for this one."""
        self.loss, self.logged = state_dict["loss"], set(state_dict["logged"])
        for epoch, best in state_dict["reported"].items():
            self.best = best
            self.trial.report(best, epoch)
            self.reported[epoch] = best

    def never_logged(self) -> RunError:
        return RunError(f"search.monitor={self.monitor}: a run logs {', '.join(sorted(self.logged))}")


def work(book: Book, do: Callable[[Trial], float]) -> None:
    """Run trials until none is waiting.

    Args:
        book: the trials.
        do: trains a trial and returns its value; may raise `optuna.TrialPruned`; other errors fail the trial.

    Raises:
        KeyboardInterrupt: interrupted; the current trial returned to the queue.
        OSError: a disk is full; so did it.
    """
    from optuna import TrialPruned
    from optuna.trial import TrialState

    while True:
        with shielded(), book.take() as trial:
            if trial is None:
                return
            try:
                with exposed():
                    value = do(trial)
            except TrialPruned:
                book.study.tell(trial, state=TrialState.PRUNED)
            except Exception as error:
                if is_disk_full(error):  # whatever the trial's setting
                    book.hand_back(trial)
                    raise
                book.fail(trial, message(error))
            except BaseException:
                book.hand_back(trial)
                raise
            else:
                if math.isfinite(value):
                    book.study.tell(trial, value)
                else:
                    book.fail(trial, f"{book.plan.monitor} became {value}")


def _take_over(trial: Trial, folder: Path) -> None:
    """Take the folder of the interrupted trial that this one repeats, if it has saves to resume from."""
    before = interrupted(trial)
    if before is not None and not folder.exists() and any((earlier := folder.with_name(str(before))).glob(SAVE)):
        earlier.rename(folder)


def train_trial(trial: Trial, plan: Plan, conf: Path) -> float:
    """Train a trial in its own folder; the value of its best epoch.

    Raises:
        TrialPruned: the pruner ended it.
        Exception: training failed; error.txt in its folder has the traceback.
    """
    from optuna import TrialPruned

    folder = plan.folder_of(trial.number)
    _take_over(trial, folder)
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(trial, plan.monitor, plan.maximize)
    given = [
        *chosen(trial.params),
        *(f"++callbacks.{name}=null" for name in _OMITTED),
        f"out_dir={quoted(folder)}",
    ]
    try:
        with open(folder / "log.txt", "a") as log, redirect_stdout(log), redirect_stderr(log):
            cfg, choices = composed(conf, [*plan.overrides, *given])
            overrides = [*plan.overrides, *chosen(trial.params)]
            train(cfg, folder, choices, sweep=True, overrides=overrides, callbacks=[report])
            if report.best is None:
                raise report.never_logged()
            if math.isfinite(report.loss):
                trial.set_user_attr(LOSS, report.loss)
    except TrialPruned:
        raise
    except Exception as error:
        with suppress(OSError):  # a full disk, which may be the error
            write_error(folder, message(error), error)
        raise
    return report.best
