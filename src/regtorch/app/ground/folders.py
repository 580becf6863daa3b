"""No run writes into another's folder."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regtorch.app.ground.atomic import remove_leftovers

__all__ = ["ASIDE", "Folders", "is_follower", "move_aside"]

ASIDE = ".failed-"
"""Between the name of a folder and a number, where what a run left behind was moved out of the way."""


class Folders(Callback):
    """Ends the program before Hydra writes into a folder that holds something already.

    Attributes:
        sweep: the folder of the sweep that this process started.
        jobs: those of its jobs; None for another sweeper than the grid, which does not say.
        lost: of jobs whose folder cannot tell it, the error.
    """

    sweep: ClassVar[Path | None] = None
    jobs: ClassVar[list[Path] | None] = None
    lost: ClassVar[dict[Path, str]] = {}

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at the run's folder."""
        _refuse(_named(config, "hydra.run.dir"), "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at the sweep's folder; a grid goes on with what it began there."""
        folder = Path(_named(config, "hydra.sweep.dir"))
        grid = config.hydra.sweeper._target_.endswith(".Grid")
        if not (grid and (folder / "multirun.yaml").is_file()):
            _refuse(str(folder), "hydra.sweep.dir")
        Folders.sweep, Folders.jobs, Folders.lost = folder, [] if grid else None, {}


def move_aside(folder: Path) -> None:
    """Rename what a run that did not finish left, as train.py writes into no used folder."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}{ASIDE}{number}")):
        number += 1
    if folder.is_dir():
        remove_leftovers(folder)
    os.rename(folder, aside)
    print(f"{folder} had not finished; what is left of it is now {aside.name}", flush=True)


def is_follower() -> bool:
    """Whether this is one of a distributed run's processes other than the first, whose files they find."""
    return any(os.environ.get(rank, "0") != "0" for rank in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def _named(config: DictConfig, key: str) -> str:
    """The folder that a setting names; an empty name is the folder where one is."""
    try:
        return str(OmegaConf.select(config, key)) or "."
    except OmegaConfBaseException as error:
        _end(f"{key}: its value refers to another one: {str(error).splitlines()[0]}")


def _end(text: str) -> NoReturn:
    sys.stderr.write(f"error: {text}\n")
    raise SystemExit(1)  # Hydra turns an exception of a callback into a warning


def _refuse(folder: str, key: str) -> None:
    if is_follower():
        return
    if not os.path.isdir(folder):
        wrong = "is a file; name a folder" if os.path.lexists(folder) else None
    else:
        wrong = "holds another run's files; name a new folder" if any(Path(folder).iterdir()) else None
    if wrong is not None:
        _end(f"{key}={folder} {wrong}")
