"""Pieces of the page: text is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from regtorch.app.record.spread import Spread
from regtorch.sweep.report.panel import LOOKS, Panel, svg

__all__ = ["Cell", "anchor", "code", "command", "count", "details", "figures", "legend", "lines", "prose", "table"]

_LONGEST = 100  # of the 255 bytes of a file's name; numbers and endings come beside it


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the number by which its column is sorted."""

    text: str
    sort: float | None = None

    @staticmethod
    def of(value: Spread | None) -> Cell:
        """The cell of a spread."""
        return Cell("") if value is None else Cell(str(value), value.mean if value.count else None)


def prose(text: str) -> str:
    """Escaped, and no line ends within 1e-04, which can be copied as it is typed."""
    return re.sub(r"[\d.]+e-\d+", r'<span class="whole">\g<0></span>', escape(text))


def code(text: str) -> str:
    """What is typed; it may break before a key."""
    return f"<code>{escape(text)}</code>"


def count(number: int, what: str) -> str:
    """A number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def anchor(text: str) -> str:
    """A text as part of an id or a file's name, which ends where a name of a file would become too long."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:_LONGEST].strip("-.") or "x"


def command(text: str) -> str:
    """A command with a button that copies it."""
    return f'<div class="command"><pre>{code(text)}</pre></div>'


def details(summary: str, body: str, *, kind: str = "", opened: bool = False) -> str:
    """A part that can be folded."""
    named = f' class="{kind}"' if kind else ""
    return f"<details{named}{' open' if opened else ''}>\n<summary>{prose(summary)}</summary>\n{body}\n</details>"


def figures(panels: Sequence[Panel], salt: str) -> str:
    """Plots in a grid, each with its caption."""
    parts = [f'<div class="plots{" even" if len(panels) in (2, 4) else ""}">']
    for panel in panels:
        caption = f"<b>{prose(panel.title)}</b> <span>{prose(panel.text)}</span>"
        parts.append(f"<figure>\n<figcaption>{caption}</figcaption>\n{svg(panel, salt)}\n</figure>")
    return "\n".join([*parts, "</div>"])


def legend(signs: Iterable[tuple[str, str, str]]) -> str:
    """What the signs of a group of plots mean: each sign, its colour in the style sheet, and the words."""
    items = (
        f'<li><span class="sign" style="color: var({colour})" aria-hidden="true">{sign}</span> {prose(words)}</li>'
        for sign, colour, words in signs
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def lines(labels: Sequence[str], others: int, note: str) -> str:
    """What the lines of a group of plots are."""
    signs = [(look.sign, look.variable, label) for label, look in zip(labels, LOOKS, strict=False)]
    signs += [("―", "--faint", count(others, "other"))] if others else []
    return f'{legend(signs) if signs else ""}\n<p class="note">{prose(note)}</p>'


def table(caption: str, head: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]], *, sorted_by: int) -> str:
    """A table that can be sorted.

    Args:
        caption: what it holds.
        head: the columns' names.
        rows: the first cell as HTML, and the others.
        sorted_by: the column by which it is sorted already, the largest first.
    """
    cells = (
        f'<th scope="col"{" aria-sort=descending" if n == sorted_by else ""}>{prose(name)}</th>'
        for n, name in enumerate(head)
    )
    parts = [
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">',
        f'<table class="sortable">\n<caption>{prose(caption)}</caption>',
        f"<thead><tr>{''.join(cells)}</tr></thead>\n<tbody>",
    ]
    for first, others in rows:
        found = (f"<td{'' if c.sort is None else f' data-v={c.sort:.9g}'}>{prose(c.text)}</td>" for c in others)
        parts.append(f'<tr><th scope="row">{first}</th>{"".join(found)}</tr>')
    return "\n".join([*parts, "</tbody>\n</table>\n</div>"])
