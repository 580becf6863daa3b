"""Tables at the end of a run or a sweep."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from regtorch.app.ground.errors import DIVERGED
from regtorch.app.ground.folders import Folders
from regtorch.app.ground.lines import tell
from regtorch.app.ground.live import is_live
from regtorch.app.record.file_names import ERROR, OVERRIDES, SUMMARY
from regtorch.app.record.overrides import read_overrides
from regtorch.app.record.ranking import rank_of, tie_remark
from regtorch.app.record.run_record import RunRecord, error_line
from regtorch.app.record.seeds import Result, best_setting
from regtorch.app.record.unpenalised import partners
from regtorch.plot.labels import score_of

__all__ = [
    "Job",
    "error_of",
    "jobs_of",
    "own_overrides",
    "print_chosen",
    "print_jobs",
    "print_metrics",
    "print_table",
    "without_result",
]

_METRICS = ("task_loss", "penalty", "loss", "accuracy", "r2")
_NAMED = 3  # jobs without a result that a message lists
_NUMBERS = ("val", "test", "best val", "epoch", "vs none")


def print_metrics(final: Mapping[str, float], best: Mapping[str, Any] | None, *, penalised: bool = True) -> None:
    """Print the final metrics by stage, and those of the best epoch; without a penalty the task's loss is the whole."""
    from rich.table import Table

    known = [name for name in _METRICS if penalised or name not in ("penalty", "loss")]
    names = [name for name in known if any(key.endswith(f"/{name}") for key in final)]
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


def error_of(folder: Path) -> str | None:
    """The reason why the job of a folder failed, or None."""
    path = folder / ERROR
    if folder in Folders.lost or not path.is_file():
        return Folders.lost.get(folder)
    try:
        return error_line(path)
    except (OSError, ValueError) as error:
        return f"{ERROR} cannot be read: {getattr(error, 'strerror', None) or error}"


class Job:
    """A job of a sweep, read from its folder.

    Attributes:
        overrides: those of the sweep.
        record: None unless it has finished.
        error: why it has no result, or None.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.overrides: list[str] = []
        self.record: RunRecord | None = None
        self.error = error_of(folder)
        if folder in Folders.lost:
            return
        try:
            self.overrides = read_overrides(folder)
        except ValueError as broken:
            self.error = self.error or str(broken)
        try:
            self.record = RunRecord.read(folder)
        except ValueError as broken:
            self.error = str(broken)
        if self.record is None and self.error is None:
            self.error = "did not finish"

    @property
    def result(self) -> Result:
        """What ranks it."""
        rank = None if self.record is None else rank_of(self.record)
        return Result(self.overrides, rank, DIVERGED in (self.error or ""))


def jobs_of(sweep: Path, folders: Sequence[Path] | None = None) -> list[Job]:
    """The jobs of a sweep that have begun or cannot begin, in the order of `folders` if given."""
    if folders is None:
        begun = {path.parents[1] for path in sweep.rglob(OVERRIDES)}
        folders = sorted(begun, key=lambda f: (len(f.name), f.name))
    return [Job(folder) for folder in folders if folder in Folders.lost or _has_begun(folder)]


def _has_begun(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (OVERRIDES, SUMMARY, ERROR))


def own_overrides(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each job that are not common to all jobs with known overrides."""
    known = [set(overrides) for overrides in jobs if overrides]
    shared = set.intersection(*known) if len(known) > 1 else set[str]()
    return [[override for override in overrides if override not in shared] for overrides in jobs]


def without_result(jobs: Sequence[Job]) -> str:
    """Which of the jobs have no result, and why, to follow their number: ': reg.lam=-1 (reg.lam: expected ...)'."""
    named = zip(jobs, own_overrides([job.overrides for job in jobs]), strict=True)
    words = [f"{' '.join(own) or f'job {job.folder.name}'} ({job.error})" for job, own in named if job.record is None]
    more = [f"{len(words) - _NAMED} more"] if len(words) > _NAMED else []
    return f": {', '.join([*words[:_NAMED], *more])}" if words else ""


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print each job with its own overrides and its score or error; the jobs of the best setting are marked."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    scores = "/".join(sorted({score_of(job.record.final) for job in jobs if job.record}) or ["accuracy"])
    best = best_setting([job.result for job in jobs])
    title = f"{scores} after the last epoch, and the best epoch's" + (f"; → best {best.said}" if best else "")
    beside = _beside_none(jobs)
    if any(beside):
        title += "; vs none: best val minus that of the same job with reg=none"
    names: Sequence[str] = ("", "job", "overrides", *_NUMBERS)
    own = own_overrides([job.overrides for job in jobs])

    def table(left_out: Collection[str]) -> Table:
        errors = ("error",) if any(job.error for job in jobs) else ()
        kept = [name for name in names if name not in left_out and (name != "vs none" or any(beside))]
        table = Table(*kept, *errors, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
        for column in table.columns:
            column.overflow, column.no_wrap = "fold", column.header in _NUMBERS
        for place, job in enumerate(jobs):
            mark, style = ("→", "bold") if best and place in best.runs else ("", None)
            cells: dict[str, str] = dict(
                zip(names, (mark, job.folder.name, " ".join(own[place]), *_scores(job), beside[place]), strict=True)
            )
            row = [*(cells[name] for name in kept), *(job.error or "" for _ in errors)]
            table.add_row(*map(Text, row), style=style)
        return table

    print_chosen(table, ("epoch", "test"))
    if best and (remark := tie_remark(best.tied)):
        tell(remark)


def _scores(job: Job) -> list[str]:
    final, epoch = (job.record.final, job.record.best or {}) if job.record else ({}, {})
    of = score_of(final)
    values = (final.get(f"val/{of}"), final.get(f"test/{of}"), epoch.get(f"val/{of}"))
    return [*("" if value is None else f"{value:.4f}" for value in values), str(epoch.get("epoch", ""))]


def _beside_none(jobs: Sequence[Job]) -> list[str]:
    """The best epoch's score of each job minus that of the same job without a penalty; empty where one is missing."""
    scores = [(job.record.best or {}).get(f"val/{score_of(job.record.final)}") if job.record else None for job in jobs]
    found: list[str] = []
    for score, other in zip(scores, partners([job.record for job in jobs]), strict=True):
        there = None if other is None else scores[other]
        found.append("" if score is None or there is None else f"{score - there:+z.4f}")
    return found


def print_table(table: Any) -> None:
    """Print a table by `print`: rich itself would bypass live bars and redirected output.

    If the terminal is too narrow for the columns that must not wrap, lines break: a truncated number would be wrong.
    """
    from rich.console import Console

    console = Console()
    console.width = max(console.width, _least(console, table))
    with console.capture() as captured:
        console.print(table)
    print(captured.get(), end="", flush=True)


def print_chosen(table: Callable[[Collection[str]], Any], spare: Sequence[str]) -> None:
    """Print a table; on a terminal that is too narrow for it, without some columns.

    Args:
        table: makes it, without the columns of these names.
        spare: names of columns, the first to be left out first.
    """
    from rich.console import Console

    console = Console()
    fewer = len(spare) if is_live(sys.stdout) else 0
    left_out = next(
        (spare[:n] for n in range(fewer) if _least(console, table(spare[:n])) <= console.width), spare[:fewer]
    )
    print_table(table(left_out))
    if left_out:
        tell(f"this terminal is too narrow for {', '.join(left_out)}")


def _least(console: Any, table: Any) -> int:
    """The width below which a table's columns that must not wrap would be cut."""
    from rich.measure import Measurement

    # its minimum omits part of the padding
    return Measurement.get(console, console.options.update_width(1000), table).minimum + len(table.columns)
