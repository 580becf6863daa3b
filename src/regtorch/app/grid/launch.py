"""The jobs of a grid (`train.py -m`): find finished ones, assign folders, and launch the rest."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count, groupby
from pathlib import Path
from typing import Any, Literal

import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import RunError, message, say
from regtorch.app.ground.folders import Folders, move_aside
from regtorch.app.ground.locks import claimed, is_busy
from regtorch.app.record.file_names import ERROR, SAVE
from regtorch.app.record.overrides import quoted
from regtorch.app.record.same_settings import Known, hydra_is, identity, known_in, task_of
from regtorch.app.terminal.table import own_overrides
from regtorch.app.terminal.watch import Watch

__all__ = ["launch"]

State = Literal["new", "begun", "running", "finished"]


@dataclass(frozen=True)
class Planned:
    """A job of a grid."""

    number: int  # position in the grid, from 0
    overrides: Sequence[str]
    own: Sequence[str]  # the overrides that differ from other jobs
    folder: Path  # for its files, or with a run of its settings
    state: State  # of the folder
    numbered: bool  # whether its settings depend on its number


def launch(
    config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str], most: Any
) -> list[Sequence[JobReturn]]:
    """Launch the unfinished jobs of a grid, at most `most` at a time.

    Raises:
        RunError: another sweep uses the folder, jobs share a folder, or `most` is not a number of jobs.
    """
    if most is not None and (type(most) is not int or most < 1):
        raise RunError(
            f"hydra.sweeper.max_batch_size: expected a whole number of at least 1, or null, received {most!r}"
        )
    sweep = Path(config.hydra.sweep.dir)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
    (grid,) = BasicSweeper.split_arguments(parsed, None)
    if not grid:
        raise RunError("-m: expected values to sweep over, received none; give them as in reg.lam=1e-4,1e-3")
    composed = list(_composed(config, loader, grid, sweep))  # an override may be wrong: before creating the folder
    try:
        sweep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"hydra.sweep.dir={sweep}: {error.strerror}; name another folder") from error
    with claimed(sweep, by="sweep"):
        jobs = _plan(grid, composed, sweep)  # before anything is written: the folder may belong to other settings
        write_text(sweep / "multirun.yaml", OmegaConf.to_yaml(config))
        return _launch(jobs, launcher, sweep, most)


def _launch(jobs: Sequence[Planned], launcher: Launcher, sweep: Path, most: int | None) -> list[Sequence[JobReturn]]:
    Folders.jobs = [job.folder for job in jobs]
    for job in jobs:
        if job.state == "running":
            say(f"job {job.folder.name} is running in another process; start again when it has ended")
    to_do = [job for job in jobs if job.state in ("new", "begun")]
    for job in to_do:
        try:  # an error in the launcher would skip the jobs after it
            if any(job.folder.glob(SAVE)):  # it resumes
                (job.folder / ERROR).unlink(missing_ok=True)
            else:
                move_aside(job.folder)
                job.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            Folders.lost[job.folder] = f"its folder cannot be created: {error.strerror}"
    returns: list[Sequence[JobReturn]] = []
    watch = Watch(_by_folder(to_do), _by_folder(job for job in jobs if job.state == "finished"))
    to_do = [job for job in to_do if job.folder not in Folders.lost]
    if type(launcher).__name__ == "BasicLauncher":  # Hydra's scan imports the class again
        most = 1  # it is sequential, and Hydra may fail before a job begins
    with _threads(launcher, to_do, most), watch:
        for batch in _batches(to_do, most):
            subdirs = [f"hydra.sweep.subdir={quoted(job.folder.relative_to(sweep))}" for job in batch]
            overrides = [[*job.overrides, subdir] for job, subdir in zip(batch, subdirs, strict=True)]
            try:
                returns.append(launcher.launch(overrides, initial_job_idx=batch[0].number))
            except Exception as error:  # a killed process, or an error of the queue: continue with the other batches
                if len(batch) == 1:
                    Folders.lost[batch[0].folder] = message(error)
                else:
                    say(message(error))
    return returns


def _by_folder(jobs: Iterable[Planned]) -> dict[Path, Sequence[str]]:
    return {job.folder: job.own for job in jobs}


def _composed(
    config: DictConfig, loader: ConfigLoader, grid: Sequence[Sequence[str]], sweep: Path
) -> Iterator[DictConfig]:
    for number, overrides in enumerate(grid):
        job_config = loader.load_sweep_config(config, list(overrides))
        with open_dict(job_config):
            job_config.hydra.job.id, job_config.hydra.job.num = str(number), number
            job_config.hydra.runtime.output_dir = str(sweep.absolute())
        yield job_config


def _plan(grid: Sequence[Sequence[str]], configs: Sequence[DictConfig], sweep: Path) -> list[Planned]:
    """Assign each job a folder: that of a run with the same settings, or else a free one."""
    known = known_in(sweep)
    taken: set[Path] = set()
    planned: set[str] = set()
    jobs: list[Planned] = []
    for number, (overrides, own, config) in enumerate(zip(grid, own_overrides(grid), configs, strict=True)):
        with hydra_is(config):
            task = task_of(config)
            settings = identity(task)
            if settings in planned:
                print(f"{' '.join(own or overrides)} is repeated; it runs once", flush=True)
                continue
            found = _known(known, settings) or _free(config, sweep, known, taken, chain([number], count(len(grid))))
        folder, state = found
        taken.add(folder)
        planned |= set() if settings is None else {settings}
        jobs.append(Planned(number, overrides, own, folder, state, "${hydra:job" in OmegaConf.to_yaml(task)))
    return jobs


def _known(known: Known, settings: str | None) -> tuple[Path, State] | None:
    if settings is not None and settings in known.finished:
        return known.finished[settings], "finished"
    folder = None if settings is None else known.begun.get(settings)
    return None if folder is None else (folder, "running" if is_busy(folder) else "begun")


def _free(
    config: DictConfig, sweep: Path, known: Known, taken: set[Path], numbers: Iterator[int]
) -> tuple[Path, State]:
    """The folder of the first free number."""
    before = None
    for number in numbers:
        config.hydra.job.num = number
        folder = sweep / str(OmegaConf.select(config, "hydra.sweep.subdir"))
        if folder not in taken:
            if not os.path.isdir(folder) or not any(folder.iterdir()):
                return folder, "new"
            if folder in known.broken and not is_busy(folder):
                return folder, "begun"
        if folder == before:
            break
        before = folder
    raise RunError(
        f"hydra.sweep.subdir={config.hydra.sweep.subdir}: {before} belongs to other settings; name another "
        "folder with hydra.sweep.dir, or include the job number, ${hydra.job.num}"
    )


def _batches(jobs: Sequence[Planned], most: int | None) -> Iterator[Sequence[Planned]]:
    """Batches of jobs; only consecutive ones if settings depend on the job number."""
    numbered = any(job.numbered for job in jobs)
    for _, group in groupby(enumerate(jobs), lambda pair: pair[1].number - pair[0] if numbered else 0):
        together = [job for _, job in group]
        size = most or len(together)
        yield from (together[start : start + size] for start in range(0, len(together), size))


@contextmanager
def _threads(launcher: Launcher, jobs: Sequence[Planned], most: int | None) -> Iterator[None]:
    """Share this machine's cores among the processes of LocalLauncher, as joblib does itself."""
    at_once = min(len(jobs), most or len(jobs))
    if type(launcher).__name__ != "LocalLauncher" or "OMP_NUM_THREADS" in os.environ or not at_once:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // at_once))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
