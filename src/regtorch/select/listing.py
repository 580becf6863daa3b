"""Weights as rows of a text or of a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from regtorch.counted import counted
from regtorch.notebook import folded, table
from regtorch.select.weight import Weight

__all__ = ["Row", "columns", "in_html", "in_text"]

Row = tuple[str, str, str, str]  # name, shape, parameters, and a note or the reason
_OPEN = 24  # weights, above which a list of them is folded


def columns(weight: Weight, count: int | None = None) -> tuple[str, str, str]:
    """A weight's name, shape and number of parameters; `count` of them under a mask."""
    name = " = ".join(weight.names)
    masked = "" if count is None else f"{count:,} of "
    return name, "×".join(map(str, weight.shape)) or "scalar", f"{masked}{weight.shape.numel():,}"


def in_text(chosen: Sequence[Row], remarks: Sequence[str], left_out: Sequence[Row]) -> list[str]:
    """Lines of the chosen weights, remarks, and those left out, in common columns."""
    widths = [max((len(line[i]) for line in [*chosen, *left_out]), default=0) for i in range(3)]
    text = [*_lines(chosen, widths), *(f"  {remark}" for remark in remarks)]
    return [*text, "  left out:", *_lines(left_out, widths)] if left_out else text


def in_html(chosen: Sequence[Weight], left_out: Sequence[tuple[Weight, str]]) -> str:
    """The chosen weights and those left out, as tables that can be folded."""
    rows = [[*map(escape, columns(weight))] for weight in chosen]
    title = f"{counted(len(chosen), 'weight')}, {sum(weight.shape.numel() for weight in chosen):,} parameters"
    html = folded(title, table(("weight", "shape", "parameters"), rows), opened=len(rows) <= _OPEN)
    others = [[*map(escape, (*columns(weight), reason))] for weight, reason in left_out]
    if others:
        html += folded(f"{len(others)} left out", table(("weight", "shape", "parameters", "why"), others))
    return html


def _lines(rows: Sequence[Row], widths: Sequence[int]) -> list[str]:
    return [f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
