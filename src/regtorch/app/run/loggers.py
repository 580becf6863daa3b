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
from regtorch.app.run.saves.saves import Saves

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

    A run that is resumed goes on with its run at a tracker, which `saves` names.
    """
    for name, value in _PRIVATE.items():
        os.environ.setdefault(name, value)  # before the packages are imported
    known = {} if saves.resumed is None else saves.resumed.trackers
    nodes = {str(name): node for name, node in cfg.logger.items() if node is not None and "_target_" in node}
    loggers: dict[str, Logger] = {
        name: make(_going_on(node, name, known.get(name)), f"logger.{name}", Logger) for name, node in nodes.items()
    }
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
