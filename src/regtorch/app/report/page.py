"""The report: a self-contained HTML page, and its plots as PNGs in a folder next to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regtorch.app.ground.atomic import write_text
from regtorch.app.pages.environment import render
from regtorch.app.record.run_record import RunRecord
from regtorch.app.report.chart import chart_of
from regtorch.app.report.collect import Collected, collect
from regtorch.app.report.experiments import Experiment, experiments_of
from regtorch.app.report.links import Address, beside, nowhere
from regtorch.app.report.remarks import of_doctor, of_lost, of_receipts
from regtorch.app.report.sections import of_experiment, of_search, search_title

__all__ = ["PAGE", "NothingYet", "report"]

PAGE = "report.html"
_CURVE_POINTS = 60_000  # in the learning curves of all charts
_LONGEST = 100  # of the 255 bytes of a file name, before numbers and endings are added


class NothingYet(ValueError):
    """A folder without anything to report."""


@dataclass(frozen=True)
class _Section:
    """A part of the page: anchor, title, template in `report/`, and what it shows."""

    anchor: str
    title: str
    template: str
    shown: object


def report(root: Path, page: Path | None = None, *, live: str = "") -> tuple[Path, Collected]:
    """Write the page about a folder (default: report.html in it) and a folder of pictures of the same name.

    Args:
        root: the folder.
        page: the page to write.
        live: the stamp of a page that is served, which follows the runs and links no folders; empty for a file.

    Raises:
        NothingYet: the folder holds nothing to report.
        ValueError: it is no folder, or the page cannot have this name.
    """
    page = page or root / PAGE
    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--page: expected a file that ends in .html, received {page}")
    pictures = page.with_suffix("")
    if page.is_dir() or (pictures.exists() and not pictures.is_dir()):
        raise ValueError(f"--page: expected a file, with a folder {pictures} for its pictures, received {page}")
    found = collect(root)
    if found.empty:
        raise NothingYet(
            f"{root}: expected runs (summary.json, error.txt), paths (path.csv) or searches (search.json) in it or "
            "below, received none; name the folder of a run, a path or a search"
        )
    experiments = experiments_of(found.entries, found.lost)
    address = nowhere if live else beside(page)
    failed = sum(lost.finished for lost in found.lost)
    text = render(
        "report",
        title=f"Runs in {root.resolve().name or root}",
        trained=len(found.entries),
        trials=sum(len(search.record.trials) for search in found.searches),
        failed=failed,
        unfinished=len(found.lost) - failed,
        unreadable=len(found.unreadable),
        experiments=experiments,
        facts={
            "Finished": _dates(found),
            "Devices": _tally(entry.run.record.device for entry in found.entries),
            "Versions": _tally(_versions(entry.run.record) for entry in found.entries),
        },
        sections=_sections(found, experiments, pictures),
        charts=_charts(experiments, address),
        address=address,
        live=live,
    )
    write_text(page, text.encode(errors="replace").decode())  # names of files may not be valid text
    return page, found


def _sections(found: Collected, experiments: Sequence[Experiment], pictures: Path) -> list[_Section]:
    sections: list[_Section] = []
    for number, experiment in enumerate(experiments, 1):
        name = _name(number, experiment)
        sections.append(_Section(name, experiment.title, "experiment", of_experiment(experiment, name, pictures)))
    for number, search in enumerate(found.searches, 1):
        name = f"search-{number}"
        sections.append(
            _Section(
                name, search_title(search), "search", of_search(search.record, name, search_title(search), pictures)
            )
        )
    if found.diagnoses:
        sections.append(_Section("doctor", "The doctor’s findings", "doctor", of_doctor(found.diagnoses)))
    if found.lost:
        sections.append(_Section("failed", "Failed or not finished", "lost", of_lost(found.lost)))
    if found.unreadable:
        sections.append(_Section("unreadable", "Could not be read", "unreadable", found.unreadable))
    receipts, left = of_receipts(experiments)
    if receipts:
        sections.append(_Section("receipts", "Receipts", "receipts", {"receipts": receipts, "left": left}))
    return sections


def _charts(experiments: Sequence[Experiment], address: Address) -> list[dict[str, Any]]:
    settings = sum(len(experiment.settings) for experiment in experiments)
    shares = [_CURVE_POINTS * len(experiment.settings) // settings for experiment in experiments]
    return [
        chart_of(experiment, _name(number, experiment), address, share)
        for number, (experiment, share) in enumerate(zip(experiments, shares, strict=True), 1)
    ]


def _name(number: int, experiment: Experiment) -> str:
    """The id of an experiment's section, and the start of its pictures' names."""
    return f"{number}-{_anchor(experiment.title)}"


def _anchor(text: str) -> str:
    """A text as part of an id or a file's name."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:_LONGEST].strip("-.") or "x"


def _dates(found: Collected) -> str:
    if found.written is None:
        return ""
    first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}" for time in found.written)
    return f"{first} UTC" if first == last else f"{first} to {last.removeprefix(first[:11])} UTC"


def _versions(record: RunRecord) -> str:
    versions = record.versions
    return ", ".join(f"{name} {versions[name]}" for name in ("regtorch", "torch", "python") if name in versions)


def _tally(values: Iterable[object]) -> str:
    """The distinct values, with the count of each if there are several."""
    counts = Counter(str(value) for value in values if value)
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return "; ".join(f"{value} ({counts[value]})" if len(ordered) > 1 else value for value in ordered)
