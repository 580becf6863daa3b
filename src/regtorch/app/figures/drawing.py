"""Draw panels with matplotlib: SVG in the colours of a page, or a PNG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any
from warnings import catch_warnings, filterwarnings

from regtorch.app.figures.panel import FAINT, LOOKS, Axis, Guide, Panel, Series
from regtorch.app.ground.atomic import write_png

__all__ = ["apply", "svg", "write_picture"]

_INK, _GRID = "#1c1c22", "#b0b0b0"
_WIDTH, _HEIGHT, _TITLE = 4.6, 3.2, 0.4  # inches in a PNG, of a panel and of the title
_MARKERS = 12  # per line, about
_TICKS = 7  # at most, on a logarithmic axis with known values
_NAME = 24  # characters of a bar's name
_KEYS = {look.colour.lower(): f"var({look.variable})" for look in (*LOOKS, FAINT)}


def svg(panel: Panel, salt: str) -> str:
    """An SVG element without its opening `<svg `, reproducible; `salt` keeps the ids of a page's plots apart."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = io.StringIO()
    with _style({"svg.fonttype": "none", "svg.hashsalt": f"{salt} {panel.title}"}):
        figure = Figure(figsize=(4.4, 2.9), facecolor="none")
        # Fixed: measuring the labels takes as long as drawing them.
        figure.subplots_adjust(_left(panel), 0.165, 0.975, 0.965)
        _draw(panel, figure.add_subplot(facecolor="none"))
        FigureCanvasSVG(figure).print_svg(file, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = file.getvalue().partition("<svg ")[2]
    text = re.sub(r'<g id="[\w.]+">', "<g>", text)  # matplotlib repeats them in every plot
    for colour, variable in {**_KEYS, _INK: "currentColor", _GRID: "var(--grid)"}.items():
        text = text.replace(colour, variable)
    return text


def write_picture(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Write panels as a PNG with one legend."""
    from matplotlib.figure import Figure

    columns = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    rows = -(-len(panels) // columns)
    with _style():
        figure = Figure(dpi=120)
        for number, panel in enumerate(panels):
            axes = figure.add_axes((0, 0, 1, 1), label=str(number))
            _draw(panel, axes)
            axes.set_title(_escaped(panel.title), fontsize=10)
        width, below, above = _WIDTH * columns, _legend(figure, _WIDTH * columns), _TITLE * bool(title)
        height = _HEIGHT * rows + above + below
        figure.set_size_inches(width, height)
        for number, (axes, panel) in enumerate(zip(figure.axes, panels, strict=True)):
            row, column = divmod(number, columns)
            x, y = _WIDTH * (column + _left(panel)), below + _HEIGHT * (rows - 1 - row) + 0.5
            axes.set_position((x / width, y / height, (0.97 - _left(panel)) * _WIDTH / width, 2.35 / height))
        figure.suptitle(_escaped(title), fontsize=11, y=1 - 0.08 / height, va="top")
        write_png(figure, path)


@contextmanager
def _style(more: dict[str, str] | None = None) -> Iterator[None]:
    from matplotlib import rc_context

    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = {"font.family": "sans-serif", "font.size": 9, "grid.color": _GRID, **dict.fromkeys(coloured, _INK)}
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
    return 0.05 + 0.017 * min(_NAME, max(map(len, panel.bars))) if panel.bars else 0.17


def _escaped(text: str) -> str:
    """Escape `$`, which starts formulas in matplotlib."""
    return text.replace("$", r"\$")


def _draw(panel: Panel, axes: Any) -> None:
    for guide in panel.guides:
        _guide(axes, guide)
    for series in panel.series:
        _series(axes, series)
    if panel.bars:
        bars = axes.barh(range(len(panel.bars)), list(panel.bars.values()), color=LOOKS[0].colour, height=0.6)
        axes.set_yticks(range(len(panel.bars)), [_escaped(shorten(name, _NAME)) for name in panel.bars])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
        axes.set_xlim(0, 115)
    if panel.note:
        axes.text(0.5, 0.5, panel.note, ha="center", transform=axes.transAxes)
    axes.set(xlabel=_escaped(panel.x.label), ylabel=_escaped(panel.y.label))
    apply(panel.x, axes.xaxis)
    apply(panel.y, axes.yaxis)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _guide(axes: Any, guide: Guide) -> None:
    line, band = (axes.axvline, axes.axvspan) if guide.upright else (axes.axhline, axes.axhspan)
    label = _escaped(guide.label) or None
    if guide.high is None:
        line(guide.low, color=FAINT.colour, linewidth=0.9, linestyle="--" if guide.label else ":", label=label)
    else:
        band(guide.low, guide.high, color=FAINT.colour, alpha=0.25, linewidth=2, label=label)


def _series(axes: Any, series: Series) -> None:
    faint = series.look is FAINT and not series.marker
    options: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.5, "zorder": 1.5} if faint else {}
    if series.marker == "ring":
        options = {"marker": "o", "fillstyle": "none", "markersize": 7, "clip_on": False}
    elif series.marker:
        every = max(1, round(len(series.x) / _MARKERS)) if series.line else 1
        options = {"marker": series.marker, "markersize": 3.5, "markevery": every}
    y = series.y
    if series.marker == "|":
        y, options = [0.02] * len(series.x), {"marker": "|", "transform": axes.get_xaxis_transform()}
    axes.plot(
        series.x,
        y,
        linestyle="-" if series.line == "steps" else series.line,
        drawstyle="steps-post" if series.line == "steps" else "default",
        color=series.look.colour,
        label=_escaped(series.label) or None,
        **options,
    )
    if series.band:
        low, high = ([v + sign * w for v, w in zip(y, series.band, strict=True)] for sign in (-1, 1))
        axes.fill_between(series.x, low, high, color=series.look.colour, alpha=0.15, linewidth=0)


def apply(axis: Axis, drawn: Any) -> None:
    """Set scale, ends and labels of a matplotlib axis after drawing."""
    from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

    horizontal = drawn.axis_name == "x"
    if axis.log:
        (drawn.axes.set_xscale if horizontal else drawn.axes.set_yscale)("log")
        low, high = drawn.get_view_interval()
        drawn.set_major_formatter(lambda value, _: f"{value:g}")  # much faster than the default's formulas
        drawn.set_minor_locator(NullLocator())
        if axis.positive:
            # No ticks between 0 at the left and the smallest positive value.
            start = low if axis.zero is None else axis.positive[0] * 0.99
            powers = [10.0**p for p in range(math.ceil(math.log10(start)), math.floor(math.log10(high)) + 1)]
            ticks = powers if len(powers) > 1 else axis.positive
            zero = [] if axis.zero is None else [axis.zero]
            ticks = ticks[:: -(-len(ticks) // (_TICKS - len(zero)))]
            drawn.set_major_locator(FixedLocator([*zero, *ticks]))
            drawn.set_major_formatter(lambda value, _: "0" if value == axis.zero else f"{value:g}")
            (drawn.axes.set_xlim if horizontal else drawn.axes.set_ylim)(low, high)
        elif high < 100 * low:
            drawn.set_minor_locator(LogLocator(subs=(2, 5)))
            drawn.set_minor_formatter(lambda value, _: f"{value:g}")
    elif axis.names:
        drawn.set_ticks(range(len(axis.names)), [_escaped(shorten(name, 16)) for name in axis.names])
        drawn.axes.set_xlim(-0.5, len(axis.names) - 0.5)
    elif axis.integers:
        drawn.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if axis.low is not None:
        drawn.axes.set_ylim(bottom=axis.low)
