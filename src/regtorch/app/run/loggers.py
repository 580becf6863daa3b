"""Build a run's loggers, give them its settings, and close them."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.objects import make

__all__ = ["loggers_of"]

# Defaults: no telemetry, and no other output on the terminal.
_PRIVATE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
}


@contextmanager
def loggers_of(cfg: DictConfig, choices: Mapping[str, str]) -> Iterator[list[Logger]]:
    """Build the loggers of a config; at the end of the block, close what Lightning leaves open."""
    for name, value in _PRIVATE.items():
        os.environ.setdefault(name, value)  # before the packages are imported
    nodes = {f"logger.{name}": node for name, node in cfg.logger.items() if node is not None and "_target_" in node}
    loggers: list[Logger] = [make(node, key, Logger) for key, node in nodes.items()]
    failed = True
    try:
        for logger in loggers:
            if not isinstance(logger, CSVLogger | TensorBoardLogger):  # these write beside the run's config
                settings: Any = OmegaConf.to_container(cfg, resolve=True)
                logger.log_hyperparams({**settings, "choices": dict(choices)})
        yield loggers
        failed = False
    finally:
        # Lightning leaves the run of wandb open, and the next run would join it.
        if (wandb := sys.modules.get("wandb")) is not None:
            wandb.finish(exit_code=int(failed))
