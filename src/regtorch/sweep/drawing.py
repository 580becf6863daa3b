"""How pictures look and are written, and those of the documents' page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from typing import Any

from regtorch.app.record.spread import Spread
from regtorch.sweep.results import Run, curve
from regtorch.training.whole import write_png

__all__ = ["COLOURS", "draw", "line", "svg_element", "tidy"]

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of lines."""
_MANY = 40  # points, from which on a line has no markers


def draw(metrics: Sequence[str], found: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Draw each metric by epoch, a line a setting: the mean over seeds in a band of one standard deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(metrics), 3.8), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for (label, runs), colour in zip(found.items(), cycle(COLOURS), strict=False):
            line(axes, label, curve(runs, metric), colour)
        axes.set(title=metric, xlabel="epoch")
        tidy(axes, whole_x=True)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, 2 * len(metrics)),
        frameon=False,
    )
    write_png(figure, path)


def line(
    axes: Any, label: str | None, points: Mapping[Any, Spread], colour: str, style: str = "-", marker: str = "o"
) -> None:
    """Draw means in a band of one standard deviation; a point without a finite value is left out."""
    places = [place for place, point in points.items() if point.count]
    means = [points[place].mean for place in places]
    shown = marker if len(places) < _MANY else ""
    axes.plot(places, means, style, label=label, color=colour, marker=shown, markersize=3.5)
    if any(points[place].count > 1 for place in places):
        wide = [0.0 if points[place].count < 2 else points[place].deviation for place in places]
        low, high = ([m + sign * w for m, w in zip(means, wide, strict=True)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def tidy(axes: Any, *, whole_x: bool = False) -> None:
    """Give a panel its grid, decades as they are typed, and whole numbers below where `whole_x` asks for them."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(lambda value, _: f"{value:g}")  # far faster than a formula each
            axis.set_minor_locator(NullLocator())
    if whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def svg_element(figure: Any, label: str) -> str:
    """A figure as an element of a page, the same from one time to the next.

    Args:
        figure: of matplotlib, made where `svg.hashsalt` is set.
        label: what it shows, for those who cannot see it.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    return text[text.index("<svg ") :].replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
