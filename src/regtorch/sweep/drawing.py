"""The pictures of the documents' page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from regtorch.sweep.results import Run, Spread, curve

__all__ = ["draw"]

# Okabe and Ito's colours, which the colour-blind tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw(metrics: Sequence[str], found: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Draw each metric by epoch, a line a setting: the mean over seeds in a band of one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2 * len(metrics), 3.8), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for (label, runs), colour in zip(found.items(), cycle(_COLOURS), strict=False):
            _line(axes, label, curve(runs, metric), colour)
        axes.set(title=metric, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, 2 * len(metrics)),
        frameon=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    FigureCanvasAgg(figure).print_png(temporary)
    os.replace(temporary, path)


def _line(axes: Any, label: str, points: dict[int, Spread], colour: str) -> None:
    epochs = [epoch for epoch, point in points.items() if point.count]
    means = [points[epoch].mean for epoch in epochs]
    marker = "o" if len(epochs) < 40 else ""
    axes.plot(epochs, means, label=label, color=colour, marker=marker, markersize=3)
    wide = [0.0 if points[epoch].count < 2 else points[epoch].deviation for epoch in epochs]
    low, high = ([m + sign * w for m, w in zip(means, wide, strict=True)] for sign in (-1, 1))
    axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
