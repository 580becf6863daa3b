"""Draw panels with matplotlib: SVG in the colours of a page, a PNG, or pictures for a paper."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any
from warnings import catch_warnings, filterwarnings

from regtorch.app.ground.atomic import write_figure, write_png
from regtorch.plot.drawing import NAME, draw, escaped
from regtorch.plot.panel import FAINT, LOOKS, SEQUENCE, Panel

__all__ = ["svg", "write_picture", "write_pictures"]

_FONT = 9  # points
_INK, _GRID = "#1c1c22", "#b0b0b0"
_WIDTH, _HEIGHT, _TITLE = 4.6, 3.2, 0.4  # inches in a PNG, of a panel and of the title
_PAPER, _DPI = 0.75, 220  # of a paper's picture: two panels are 6.9 inches wide; dots per inch of its PNG
_UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
_KEYS = {look.colour.lower(): f"var({look.variable})" for look in (*LOOKS, *SEQUENCE, FAINT)}


def svg(panel: Panel, salt: str) -> str:
    """An SVG element without its opening `<svg `, reproducible; `salt` keeps the ids of a page's plots apart."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = io.StringIO()
    with _style({"svg.fonttype": "none", "svg.hashsalt": f"{salt} {panel.title}"}):
        figure = Figure(figsize=(4.4, 2.9), facecolor="none")
        # Fixed: measuring the labels takes as long as drawing them.
        figure.subplots_adjust(_left(panel), 0.165, 0.975, 0.965)
        draw(panel, figure.add_subplot(facecolor="none"))
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = file.getvalue().partition("<svg ")[2]
    text = re.sub(r'<g id="[\w.]+">', "<g>", text)  # matplotlib repeats them in every plot
    for colour, variable in {**_KEYS, _INK: "currentColor", _GRID: "var(--grid)"}.items():
        text = text.replace(colour, variable)
    return text


def write_picture(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Write panels as a PNG with one legend."""
    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    with _style():
        write_png(_figure(panels, title, columns), path)


def write_pictures(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Write panels as a PNG, an SVG and a PDF of a paper's width, with one legend; `path` has no ending.

    The text of the SVG and of the PDF stays text.
    """
    more = {"svg.fonttype": "none", "svg.hashsalt": title, "pdf.fonttype": 42, "font.size": _FONT * _PAPER}
    with _style(more):
        figure = _figure(panels, title, min(len(panels), 2), _PAPER)
        for ending, metadata in _UNDATED.items():
            write_figure(figure, path.with_name(f"{path.name}.{ending}"), dpi=_DPI, metadata=metadata)


def _figure(panels: Sequence[Panel], title: str, columns: int, size: float = 1.0) -> Any:
    """A figure of panels in columns, with one legend below; `size` scales all but the lines."""
    from matplotlib.figure import Figure

    figure = Figure(dpi=120)
    for number, panel in enumerate(panels):
        axes = figure.add_axes((0, 0, 1, 1), label=str(number))
        draw(panel, axes)
        axes.set_title(escaped(panel.title), fontsize=10 * size)
    rows = -(-len(panels) // columns)
    width, below, above = _WIDTH * columns, _legend(figure, _WIDTH * columns), _TITLE * bool(title)
    height = _HEIGHT * rows + above + below
    figure.set_size_inches(width * size, height * size)
    for number, (axes, panel) in enumerate(zip(figure.axes, panels, strict=True)):
        row, column = divmod(number, columns)
        x, y = _WIDTH * (column + _left(panel)), below + _HEIGHT * (rows - 1 - row) + 0.5
        axes.set_position((x / width, y / height, (0.97 - _left(panel)) * _WIDTH / width, 2.35 / height))
    figure.suptitle(escaped(title), fontsize=11 * size, y=1 - 0.08 / height, va="top")
    return figure


@contextmanager
def _style(more: dict[str, Any] | None = None) -> Iterator[None]:
    from matplotlib import rc_context

    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = {"font.family": "sans-serif", "font.size": _FONT, "grid.color": _GRID, **dict.fromkeys(coloured, _INK)}
    with rc_context(style | (more or {})), catch_warnings():
        filterwarnings("ignore", "Glyph")  # a character that the font lacks
        yield


def _legend(figure: Any, width: float) -> float:
    """Add the common legend; return its height in inches."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(shorten(label, 70), handle)
    if not handles:
        return 0.0
    columns = max(1, min(4, int(width / (0.6 + 0.075 * max(map(len, handles))))))
    figure.legend(handles.values(), handles, loc="lower center", ncols=columns, frameon=False)
    return 0.2 * -(-len(handles) // columns) + 0.15


def _left(panel: Panel) -> float:
    """The share of the width for labels on the left."""
    return 0.05 + 0.017 * min(NAME, max(map(len, panel.bars))) if panel.bars else 0.17
