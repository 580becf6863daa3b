"""The report: one HTML page that needs nothing else, and its plots as PNGs beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from regtorch.sweep.report.collect import Collected, collect
from regtorch.sweep.report.markup import anchor, prose
from regtorch.sweep.report.overview import overview
from regtorch.sweep.report.remarks import of_doctor, of_lost, of_receipts, of_unreadable
from regtorch.sweep.report.sections import of_experiment, of_search, search_title
from regtorch.sweep.report.settings import experiments_of
from regtorch.training.whole import write_text

__all__ = ["PAGE", "report"]

PAGE = "report.html"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class _Section:
    """A part of the page: its anchor, its title, and its HTML."""

    anchor: str
    title: str
    body: str


def report(root: Path, page: Path | None = None) -> tuple[Path, Collected]:
    """Write the page about a folder, and a folder of pictures of the same name beside it.

    Args:
        root: the folder with runs, grids, paths and searches.
        page: the file to write; `report.html` in the folder where it is None.

    Returns:
        The page, and what was found.

    Raises:
        ValueError: there is nothing to tell of, or the page's name is none of a page.
    """
    page = page or root / PAGE
    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--page: expected a file that ends in .html, received {page}")
    pictures = page.with_suffix("")
    if page.is_dir() or (pictures.exists() and not pictures.is_dir()):
        raise ValueError(f"--page: expected a file, with a folder {pictures} for its pictures, received {page}")
    found = collect(root)
    if found.empty:
        raise ValueError(
            f"{root}: expected runs (summary.json, error.txt), paths (path.csv) or searches (search.json) in it or "
            "below, received none; name the folder that train.py, path.py or search.py wrote to"
        )
    title = f"Runs in {root.resolve().name or root}"
    text = "\n".join(_page(found, title, pictures)) + "\n"
    write_text(page, text.encode(errors="replace").decode())  # names of files may hold bytes that are no text
    return page, found


def _page(found: Collected, title: str, pictures: Path) -> Iterator[str]:
    experiments = experiments_of(found.entries)
    sections: list[_Section] = []
    for number, experiment in enumerate(experiments, 1):
        name = f"{number}-{anchor(experiment.title)}"
        sections.append(_Section(name, experiment.title, "\n".join(of_experiment(experiment, name, pictures))))
    for number, search in enumerate(found.searches, 1):
        name = f"search-{number}"
        sections.append(_Section(name, search_title(search), "\n".join(of_search(search, name, pictures))))
    if found.diagnoses:
        sections.append(_Section("doctor", "The doctor’s findings", "\n".join(of_doctor(found.diagnoses))))
    if found.lost:
        sections.append(_Section("failed", "Failed or not finished", "\n".join(of_lost(found.lost))))
    if found.unreadable:
        sections.append(_Section("unreadable", "Could not be read", of_unreadable(found.unreadable)))
    receipts = "\n".join(of_receipts(experiments))
    if receipts:
        sections.append(_Section("receipts", "Receipts", receipts))

    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    known = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    # Nothing is fetched, and no script runs but this one.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{known}'; base-uri 'none'"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#main">Skip to the results</a>'
    yield f"<header>\n<h1>{prose(title)}</h1>"
    yield from overview(found, experiments)
    yield "</header>"
    if len(sections) > 1:
        links = "".join(f'<li><a href="#{s.anchor}">{prose(s.title)}</a></li>' for s in sections)
        yield f'<nav aria-label="On this page"><ul>{links}</ul></nav>'
    yield '<main id="main">'
    for section in sections:
        yield f'<section id="{section.anchor}" aria-labelledby="{section.anchor}-title">'
        yield f'<h2 id="{section.anchor}-title">{prose(section.title)}</h2>\n{section.body}\n</section>'
    yield '</main>\n<p class="status" role="status"></p>'
    yield f"<script>\n{script}</script>\n</body>\n</html>"
