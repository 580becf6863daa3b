"""The page's head: what lies here, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from regtorch.app.record.run import RunRecord
from regtorch.sweep.report.collect import Collected
from regtorch.sweep.report.markup import code, count, prose
from regtorch.sweep.report.settings import Experiment

__all__ = ["overview"]


def overview(found: Collected, experiments: Sequence[Experiment]) -> Iterator[str]:
    """The header of the page, below its title."""
    failed = sum(lost.finished for lost in found.lost)
    unfinished = len(found.lost) - failed
    trained = len(found.entries)
    trials = sum(len(search.trials) for search in found.searches)
    parts = [
        f"<b>{count(trained, 'trained net')}</b>",
        *([f"{count(trials, 'trial')} of a search"] if trials else []),
        *([f'<a href="#failed"><b>{failed} failed</b></a>'] if failed else []),
        *([f'<a href="#failed">{unfinished} not finished</a>'] if unfinished else []),
        *([f'<a href="#unreadable"><b>{len(found.unreadable)} unreadable</b></a>'] if found.unreadable else []),
    ]
    yield f'<p class="lead">{" · ".join(parts)}</p>'
    for experiment in experiments:
        best = experiment.settings[0]
        if best.ranked_by is not None and best.ranked_by.count:
            tied = f", tied with {count(experiment.tied, 'other')}" if experiment.tied else ""
            yield (
                f'<p class="lead">Best of {count(len(experiment.settings), "setting")} of {prose(experiment.title)}: '
                f"{code(best.label)} with {prose(experiment.score_name)} <b>{prose(str(best.ranked_by))}</b> "
                f"({count(len(best.entries), 'seed')}){tied}.</p>"
            )
    facts = {
        "Finished": _dates(found),
        "Devices": _counted(entry.run.record.device for entry in found.entries),
        "Versions": _counted(_versions(entry.run.record) for entry in found.entries),
    }
    told = (f"<div><dt>{name}</dt><dd>{prose(value)}</dd></div>" for name, value in facts.items() if value)
    yield f"<dl>{''.join(told)}</dl>"


def _dates(found: Collected) -> str:
    if found.written is None:
        return ""
    first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}" for time in found.written)
    return f"{first} UTC" if first == last else f"{first} to {last.removeprefix(first[:11])} UTC"


def _versions(record: RunRecord) -> str:
    versions = record.versions
    return ", ".join(f"{name} {versions[name]}" for name in ("regtorch", "torch", "python") if name in versions)


def _counted(values: Iterator[object]) -> str:
    """Values with their numbers, where there is more than one."""
    counts = Counter(str(value) for value in values if value)
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return "; ".join(f"{value} ({counts[value]})" if len(ordered) > 1 else value for value in ordered)
