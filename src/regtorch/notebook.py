"""How values look in a notebook: as they are printed, or as HTML that inherits the page's colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["Shown", "bold", "code", "folded", "line", "pre", "table"]

_CELL = '"text-align:left;vertical-align:top;white-space:normal"'


class Shown:
    """IPython shows it as `print` does, Jupyter as the HTML of `_repr_html_`."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return pre(str(self))


def pre(text: str) -> str:
    """Text whose columns stay; a wide one scrolls."""
    return f'<pre style="white-space:pre;overflow-x:auto">{escape(text)}</pre>'


def code(text: str) -> str:
    """A piece of code within a line."""
    return f"<code>{escape(text)}</code>"


def bold(text: str) -> str:
    """Words that stand out."""
    return f"<b>{escape(text)}</b>"


def line(*parts: str) -> str:
    """A line of pieces of HTML."""
    return f"<div>{''.join(parts)}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of pieces of HTML under a head in plain words."""
    top = _row("th", map(escape, head))
    return f"<table><thead>{top}</thead><tbody>{''.join(_row('td', row) for row in rows)}</tbody></table>"


def folded(title: str, html: str, *, opened: bool = False) -> str:
    """HTML that a click on its title shows or hides."""
    return f"<details{' open' * opened}><summary>{escape(title)}</summary>{html}</details>"


def _row(kind: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{kind} style={_CELL}>{cell}</{kind}>' for cell in cells)}</tr>"
