"""The tables printed when a run, or a sweep, has ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from regtorch.training.outputs import ERROR, read_summary, score_of

__all__ = ["Job", "jobs_of", "print_jobs", "print_metrics"]

_METRICS = ("task_loss", "penalty", "loss", "accuracy", "r2")


def print_metrics(final: Mapping[str, float], best: Mapping[str, Any] | None) -> None:
    """Print task loss, penalty, loss and score of train, val and test, and of the best epoch's checkpoint.

    Args:
        final: the metrics after the last epoch.
        best: those of the best epoch, with its number under "epoch".
    """
    from rich.console import Console
    from rich.table import Table

    names = [name for name in _METRICS if any(key.endswith(f"/{name}") for key in final)]
    table = Table("", *names)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [(stage, stage, final) for stage in ("train", "val", "test")]
    if best is not None:
        rows += [(f"{stage}, best val {names[-1]} (epoch {best['epoch']})", stage, best) for stage in ("val", "test")]
    for label, stage, metrics in rows:
        values = [metrics.get(f"{stage}/{name}") for name in names]
        if any(value is not None for value in values):
            table.add_row(label, *("" if value is None else f"{value:.4f}" for value in values))
    Console().print(table)


class Job:
    """A job of a sweep, as its folder tells it: whichever process ran it.

    Args:
        folder: the job's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        overrides: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))  # not resolved
        self.overrides = [str(override) for override in overrides]
        error = folder / ERROR
        self.error = error.read_text(encoding="utf-8").splitlines()[0] if error.is_file() else None
        try:
            self.summary = read_summary(folder)
        except ValueError as broken:
            self.summary, self.error = None, str(broken)
        if self.summary is None and self.error is None:
            self.error = "did not finish"


def jobs_of(sweep: Path, folders: Sequence[Path] | None = None) -> list[Job]:
    """The jobs of a sweep that have begun.

    Args:
        sweep: its folder.
        folders: the jobs', in their order; None is all that lie in `sweep`.
    """
    begun = {path.parents[1] for path in sweep.rglob(".hydra/overrides.yaml")}
    if folders is None:
        folders = sorted(begun, key=lambda f: (len(f.name), f.name))
    return [Job(folder) for folder in folders if folder in begun]


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print what each job overrides and the others do not, with its score or its error."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    scores = sorted({score_of(job.summary["final"]) for job in jobs if job.summary}) or ["accuracy"]
    table = Table("job", "overrides", f"val {'/'.join(scores)}", f"test {'/'.join(scores)}", "error")
    for column in table.columns:
        column.overflow = "fold"
    shared = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    for job in jobs:
        own = " ".join(override for override in job.overrides if override not in shared)
        final = job.summary["final"] if job.summary else {}
        values = [final.get(f"{stage}/{score_of(final)}") for stage in ("val", "test")]
        shown = ["" if value is None else f"{value:.4f}" for value in values]
        table.add_row(job.folder.name, Text(own), *shown, Text(job.error or ""))
    Console().print(table)
