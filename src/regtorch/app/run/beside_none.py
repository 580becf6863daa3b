"""What a run's penalty did against `reg=none`, in a line at its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from regtorch.app.record.near import runs_near
from regtorch.app.record.ranking import rank_of
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.seeds import best_setting
from regtorch.app.record.unpenalised import Finished, against, command_without, is_without, partners
from regtorch.app.terminal.table import Job

__all__ = ["beside_none", "best_beside_none"]


def beside_none(folder: Path, record: RunRecord, overrides: Iterable[str], seeds: Sequence[int] = ()) -> str | None:
    """Compare a finished run with the newest runs without its penalty, or say the command that makes one.

    Args:
        folder: of the run.
        record: of the run.
        overrides: of the run.
        seeds: of a sweep's best setting, for the command; by default the run's own.

    Returns:
        None for a run without a penalty, a seed or a score.
    """
    own = Finished(folder.absolute(), record)
    if is_without(record) or own.seed is None or rank_of(record) is None:
        return None
    found = against(own, runs_near(own.folder))
    if found is not None:
        return str(found)
    return f"no run with reg=none to compare with; this makes it: {command_without(record, overrides, seeds)}"


def best_beside_none(jobs: Sequence[Job]) -> str | None:
    """Compare a sweep's best setting as `beside_none` does; None if the sweep has it without a penalty, too."""
    best = best_setting([job.result for job in jobs])
    if best is None:
        return None
    job, record = jobs[best.runs[0]], jobs[best.runs[0]].record
    if record is None or partners([job.record for job in jobs])[best.runs[0]] is not None:
        return None
    seeds = [Finished(one.folder, one.record).seed for one in (jobs[i] for i in best.runs) if one.record is not None]
    several = sorted({seed for seed in seeds if seed is not None})
    line = beside_none(job.folder, record, job.overrides, several if len(several) > 1 else ())
    return None if line is None else f"the best setting {line}" if line.startswith("against") else line
