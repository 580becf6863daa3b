"""A run's loggers: made, told the run's settings, and closed."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.objects import make

__all__ = ["loggers_of"]

# Unless the user says otherwise nothing is sent anywhere, and nobody else writes to the terminal.
_PRIVATE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
}


@contextmanager
def loggers_of(cfg: DictConfig, choices: Mapping[str, str]) -> Iterator[list[Logger]]:
    """Make the loggers of a config, and close what stays open in this process when the block ends."""
    for name, value in _PRIVATE.items():
        os.environ.setdefault(name, value)  # before their packages are imported
    nodes = {f"logger.{name}": node for name, node in cfg.logger.items() if node is not None and "_target_" in node}
    loggers: list[Logger] = [make(node, key, Logger) for key, node in nodes.items()]
    failed = True
    try:
        for logger in loggers:
            if not isinstance(logger, CSVLogger | TensorBoardLogger):  # these lie beside the run's own configuration
                settings: Any = OmegaConf.to_container(cfg, resolve=True)
                logger.log_hyperparams({**settings, "choices": dict(choices)})
        yield loggers
        failed = False
    finally:
        if (wandb := sys.modules.get("wandb")) is not None:  # Lightning leaves the run open, and the next one joins it
            wandb.finish(exit_code=int(failed))
