"""Build a run's loggers, give them its settings or let them go on with its run, and close them."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, OmegaConf, open_dict

from regtorch.app.config.objects import make
from regtorch.app.config.targets import located
from regtorch.app.ground.folders import is_follower
from regtorch.app.run.saves.event_files import cut
from regtorch.app.run.saves.saves import OURS, Saves

__all__ = ["loggers_of"]

# Defaults: no telemetry, and no other output on the terminal.
_PRIVATE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
}


_RUN = {MLFlowLogger: "run_id", WandbLogger: "id"}
"""Loggers of trackers, each with the argument that names a run of the tracker to go on with."""


@contextmanager
def loggers_of(cfg: DictConfig, choices: Mapping[str, str], saves: Saves) -> Iterator[list[Logger]]:
    """Build the loggers of a config; at the end of the block, close what Lightning leaves open.

    A run that is resumed goes on with its run at a tracker, which `saves` names, and what it logged after the save is
    taken back, or not logged again, or can be told apart.
    """
    for name, value in _PRIVATE.items():
        os.environ.setdefault(name, value)  # before the packages are imported
    known = {} if saves.resumed is None else saves.resumed.trackers
    nodes = {str(name): node for name, node in cfg.logger.items() if node is not None and "_target_" in node}
    loggers: dict[str, Logger] = {
        name: make(_going_on(node, name, known.get(name)), f"logger.{name}", Logger) for name, node in nodes.items()
    }
    if saves.resumed is not None and not is_follower():
        _take_back(loggers, known, saves)
    failed = True
    try:
        for name, logger in loggers.items():
            if name not in known and not isinstance(logger, CSVLogger | TensorBoardLogger):  # they write beside it
                settings: Any = OmegaConf.to_container(cfg, resolve=True)
                logger.log_hyperparams({**settings, "choices": dict(choices)})
        trackers = {name: logger.version for name, logger in loggers.items() if isinstance(logger, tuple(_RUN))}
        saves.trackers = {**known, **{name: run for name, run in trackers.items() if isinstance(run, str)}}
        yield [*loggers.values()]
        failed = False
    finally:
        # Lightning leaves the run of wandb open, and the next run would join it.
        if (wandb := sys.modules.get("wandb")) is not None:
            wandb.finish(exit_code=int(failed))


def _going_on(node: DictConfig, name: str, run: str | None) -> DictConfig:
    """A logger's node, with the run of the tracker to go on with, unless the config names one."""
    target = located(node._target_, f"logger.{name}")
    argument = next((arg for kind, arg in _RUN.items() if isinstance(target, type) and issubclass(target, kind)), None)
    if run is None or argument is None or node.get(argument) is not None:
        return node
    node = node.copy()
    with open_dict(node):
        node[argument] = run
    return node


def _take_back(loggers: Mapping[str, Logger], known: Mapping[str, str], saves: Saves) -> None:
    """Undo what was logged between the save and the end of the process, for a curve without repeated rows."""
    assert saves.resumed is not None
    files = [logger for logger in loggers.values() if isinstance(logger, TensorBoardLogger)]
    saved = saves.load(OURS, mapped=True)[OURS]
    for logger, sizes in zip(files, saved.get("events", ()), strict=False):  # earlier saves have none
        cut(logger, sizes)
    for name in known.keys() & loggers.keys():
        match loggers[name]:
            case MLFlowLogger() as logger:
                _without_repeats(logger)
            case WandbLogger() as logger:
                _marked(logger, saves.resumed.step)
            case _:
                pass


def _without_repeats(logger: MLFlowLogger) -> None:
    """Log only what the run at MLflow, which cannot forget rows, does not have yet."""
    client, run, log = logger.experiment, str(logger.run_id), logger.log_metrics
    keys = client.get_run(run).data.metrics
    logged = {key: {metric.step for metric in client.get_metric_history(run, key)} for key in keys}

    def new_rows(metrics: Mapping[str, float], step: int | None = None) -> None:
        new = {key: value for key, value in metrics.items() if (step or 0) not in logged.get(key, ())}
        if new:
            log(new, step)

    logger.log_metrics = new_rows


def _marked(logger: WandbLogger, save: int) -> None:
    """Log with each row the step of the save: of the rows of one step, the one with the largest counts."""
    log = logger.log_metrics

    def marked(metrics: Mapping[str, float], step: int | None = None) -> None:
        log({**metrics, "trainer/resumed_after": save}, step)

    logger.log_metrics = marked
