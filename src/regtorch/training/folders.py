"""No run writes into another's folder."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

__all__ = ["Folders"]


class Folders(Callback):
    """Ends the program before Hydra writes into a folder that holds something already.

    Attributes:
        sweep: the folder of the sweep that this process started.
    """

    sweep: ClassVar[Path | None] = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at the run's folder."""
        _refuse(config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at the sweep's folder."""
        _refuse(config.hydra.sweep.dir, "hydra.sweep.dir")
        Folders.sweep = Path(config.hydra.sweep.dir)


def _refuse(folder: str, key: str) -> None:
    # The other processes of a distributed run find the first one's files.
    if any(os.environ.get(rank, "0") != "0" for rank in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        return
    if Path(folder).is_dir() and any(Path(folder).iterdir()):
        sys.stderr.write(f"error: {key}={folder} holds another run's files; name a new folder\n")
        raise SystemExit(1)  # Hydra turns an exception of a callback into a warning
