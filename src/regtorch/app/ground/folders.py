"""Keep runs from writing into the folders of other runs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regtorch.app.ground.atomic import remove_leftovers
from regtorch.app.ground.errors import RunError, say

__all__ = ["ASIDE", "Folders", "folder_named", "is_follower", "move_aside"]

ASIDE = ".failed-"
"""Infix between the name and the number of a folder that holds an unfinished run's leftovers."""


class Folders(Callback):
    """Ends the program before Hydra writes into a folder that is not empty; one of a failed start is moved aside.

    Attributes:
        sweep: folder of the sweep that this process started.
        jobs: folders of its jobs; None for sweepers other than the grid.
        lost: errors of jobs that could not write them into their folder.
        resumed: folder of the run that this process resumes.
        check: refuses to resume it with another config; called before Hydra writes into the folder.
    """

    sweep: ClassVar[Path | None] = None
    jobs: ClassVar[list[Path] | None] = None
    lost: ClassVar[dict[Path, str]] = {}
    resumed: ClassVar[Path | None] = None
    check: ClassVar[Callable[[DictConfig], None]]

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_settings_folder(config)
        folder = folder_named(config, "hydra.run.dir")
        if Path(folder).absolute() != Folders.resumed:
            _make_room(folder, "hydra.run.dir")
            return
        try:
            Folders.check(config)
        except RunError as error:
            _end(str(error))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the sweep's folder; a grid may continue in its own."""
        _check_settings_folder(config)
        folder = Path(folder_named(config, "hydra.sweep.dir"))
        grid = config.hydra.sweeper._target_.endswith(".Grid")
        if not (grid and (folder / "multirun.yaml").is_file()):
            _make_room(str(folder), "hydra.sweep.dir")
        Folders.sweep, Folders.jobs, Folders.lost = folder, [] if grid else None, {}


def _check_settings_folder(config: DictConfig) -> None:
    name = config.hydra.output_subdir
    if name != ".hydra" and not is_follower():  # Lightning starts followers without
        received = "null" if name is None else repr(name)
        _end(f"hydra.output_subdir: expected .hydra, where resume= and rerun= look, received {received}; omit it")


def move_aside(folder: Path) -> None:
    """Rename the folder of an unfinished run: train.py needs an empty one."""
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
    """Whether this is a process of non-zero rank; only rank zero writes files."""
    return any(os.environ.get(rank, "0") != "0" for rank in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def folder_named(config: DictConfig, key: str) -> str:
    """The folder that a setting names; an empty name is the working directory."""
    try:
        return str(OmegaConf.select(config, key)) or "."
    except OmegaConfBaseException as error:
        _end(f"{key}: its interpolation failed: {str(error).splitlines()[0]}")


def _end(text: str) -> NoReturn:
    say(text)
    raise SystemExit(2)  # Hydra turns exceptions of callbacks into warnings


def _make_room(folder: str, key: str) -> None:
    """End the program if another run's files are in a folder; those of a run that failed at its start move aside."""
    if is_follower():
        return
    if not os.path.isdir(folder):
        wrong = "is a file; name a folder" if os.path.lexists(folder) else None
    else:
        names = {path.name for path in Path(folder).iterdir()}
        if "error.txt" in names and names <= {"error.txt", ".hydra"} and not Path(folder).samefile("."):
            move_aside(Path(folder))  # of a run that failed before it began
            return
        wrong = "holds another run's files; name a new folder" if names else None
    if wrong is not None:
        _end(f"{key}={folder} {wrong}")
