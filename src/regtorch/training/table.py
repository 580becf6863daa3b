"""The tables printed when a run, or a sweep, has ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regtorch.training.folders import Folders
from regtorch.training.outputs import ERROR, SUMMARY, monitored_value, read_summary, score_of
from regtorch.training.reading import read_text, read_yaml_node

__all__ = [
    "Job",
    "Monitored",
    "error_of",
    "is_better",
    "jobs_of",
    "labels_of",
    "print_jobs",
    "print_metrics",
    "print_table",
]

_METRICS = ("task_loss", "penalty", "loss", "accuracy", "r2")
_NUMBERS = ("val", "test", "best val", "epoch")
_OVERRIDES = ".hydra/overrides.yaml"


def print_metrics(final: Mapping[str, float], best: Mapping[str, Any] | None) -> None:
    """Print task loss, penalty, loss and score of train, val and test, and of the best epoch's checkpoint.

    Args:
        final: the metrics after the last epoch.
        best: those of the best epoch, with its number under "epoch".
    """
    from rich.table import Table

    names = [name for name in _METRICS if any(key.endswith(f"/{name}") for key in final)]
    table = Table("", *names)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    rows = [(stage, stage, final) for stage in ("train", "val", "test")]
    if best is not None:
        rows += [(f"{stage}, best val {names[-1]} (epoch {best['epoch']})", stage, best) for stage in ("val", "test")]
    for label, stage, metrics in rows:
        values = [metrics.get(f"{stage}/{name}") for name in names]
        if any(value is not None for value in values):
            table.add_row(label, *("" if value is None else f"{value:.4f}" for value in values))
    print_table(table)


Monitored = tuple[str, float, bool]
"""What jobs are ranked by: its name, its value, and whether more of it is better."""


def is_better(found: Monitored, than: Monitored | None) -> bool:
    """Whether a job is better than another one; jobs that look at something else cannot be compared."""
    if than is None:
        return True
    return found[0] == than[0] and (found[1] > than[1] if found[2] else found[1] < than[1])


def error_of(folder: Path) -> str | None:
    """Why the job of a folder failed, in a line, or None."""
    path = folder / ERROR
    if folder in Folders.lost or not path.is_file():
        return Folders.lost.get(folder)
    try:
        lines = read_text(path, errors="replace").splitlines()
    except (OSError, ValueError) as error:
        return f"{ERROR} cannot be read: {getattr(error, 'strerror', None) or error}"
    return lines[0] if lines and lines[0] else "failed without a word"


class Job:
    """A job of a sweep, as its folder tells it: whichever process ran it.

    Args:
        folder: the job's.

    Attributes:
        overrides: of the command line, with Hydra's own words for them.
        summary: of a run that has finished.
        error: what is wrong with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.overrides: list[str] = []
        self.summary: dict[str, Any] | None = None
        self.error = error_of(folder)
        if folder in Folders.lost:
            return
        try:
            self.overrides = _overrides(folder)
        except ValueError as broken:
            self.error = self.error or str(broken)
        try:
            self.summary = read_summary(folder)
        except ValueError as broken:
            self.error = str(broken)
        if self.summary is None and self.error is None:
            self.error = "did not finish"


def _overrides(folder: Path) -> list[str]:
    try:
        overrides: Any = OmegaConf.to_container(read_yaml_node(folder / _OVERRIDES))  # not resolved
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{_OVERRIDES} cannot be read: {type(error).__name__}") from None
    if not isinstance(overrides, list):
        raise ValueError(f"{_OVERRIDES}: expected a list, received {overrides!r}")
    return [str(override) for override in overrides]


def jobs_of(sweep: Path, folders: Sequence[Path] | None = None) -> list[Job]:
    """The jobs of a sweep that have begun, or cannot begin.

    Args:
        sweep: its folder.
        folders: the jobs', in their order; None is all that lie in `sweep`.
    """
    if folders is None:
        begun = {path.parents[1] for path in sweep.rglob(_OVERRIDES)}
        folders = sorted(begun, key=lambda f: (len(f.name), f.name))
    return [Job(folder) for folder in folders if folder in Folders.lost or _has_begun(folder)]


def _has_begun(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (_OVERRIDES, SUMMARY, ERROR))


def labels_of(jobs: Sequence[Sequence[str]]) -> list[str]:
    """What each job overrides and the others do not; one whose overrides are not known counts for nothing."""
    known = [set(overrides) for overrides in jobs if overrides]
    shared = set.intersection(*known) if len(known) > 1 else set[str]()
    return [" ".join(override for override in overrides if override not in shared) for overrides in jobs]


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print what each job overrides and the others do not, with its score or its error; the best one is marked."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    scores = "/".join(sorted({score_of(job.summary["final"]) for job in jobs if job.summary}) or ["accuracy"])
    chosen, monitored = _best(jobs)
    title = f"{scores} after the last epoch, and the best epoch's" + (f"; → best {monitored}" if monitored else "")
    names = ("", "job", "overrides", *_NUMBERS)
    errors = ("error",) if any(job.error for job in jobs) else ()
    table = Table(*names, *errors, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
    for column in table.columns:
        column.overflow, column.no_wrap = "fold", column.header in _NUMBERS
    for job, own in zip(jobs, labels_of([job.overrides for job in jobs]), strict=True):
        final, best = (job.summary["final"], job.summary.get("best") or {}) if job.summary else ({}, {})
        of = score_of(final)
        values = (final.get(f"val/{of}"), final.get(f"test/{of}"), best.get(f"val/{of}"))
        shown = [*("" if value is None else f"{value:.4f}" for value in values), str(best.get("epoch", ""))]
        mark, style = ("→", "bold") if job is chosen else ("", None)
        table.add_row(
            mark, Text(job.folder.name), Text(own), *shown, *(Text(job.error or "") for _ in errors), style=style
        )
    print_table(table)


def _best(jobs: Sequence[Job]) -> tuple[Job | None, str | None]:
    """The best job, the first of several, and what it was chosen by."""
    chosen: Job | None = None
    by: Monitored | None = None
    for job in jobs:
        found = None if job.summary is None else monitored_value(job.summary)
        if found is not None and is_better(found, by):
            chosen, by = job, found
    return chosen, None if by is None else by[0]


def print_table(table: Any) -> None:
    """Print a table as anything else is: rich itself would write past a live bar, and past who redirects.

    A terminal that is too narrow for the columns that do not wrap breaks the lines: a number cut short is another one.
    """
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    least = Measurement.get(console, console.options.update_width(1000), table).minimum
    console.width = max(console.width, least + len(table.columns))  # not all of the padding counts in its minimum
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)
