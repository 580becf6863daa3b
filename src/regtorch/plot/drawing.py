"""Draw a panel on matplotlib's axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from regtorch.plot.panel import FAINT, LOOKS, Axis, Guide, Panel, Series

__all__ = ["NAME", "apply", "draw", "escaped"]

NAME = 24
"""Characters of a bar's name."""
_ROOM = 0.06  # share of a vertical axis above and below its values
_MARKERS = 12  # per line, about
_TICKS = 7  # at most, on a logarithmic axis with known values
_LARGEST = 1e100  # larger numbers overflow in matplotlib, and are drawn there


def escaped(text: str) -> str:
    """Escape `$`, which starts formulas in matplotlib."""
    return text.replace("$", r"\$")


def draw(panel: Panel, axes: Any) -> None:
    """Draw guides, series, bars and the labels of the axes; neither title nor legend."""
    for guide in panel.guides:
        if abs(guide.low) < _LARGEST:
            _guide(axes, guide)
    for series in panel.series:
        _series(axes, series)
    if panel.bars:
        bars = axes.barh(range(len(panel.bars)), list(panel.bars.values()), color=LOOKS[0].colour, height=0.6)
        axes.set_yticks(range(len(panel.bars)), [escaped(shorten(name, NAME)) for name in panel.bars])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
        axes.set_xlim(0, 115)
    if panel.note:
        axes.text(0.5, 0.5, panel.note, ha="center", transform=axes.transAxes)
    axes.set(xlabel=escaped(panel.x.label), ylabel=escaped(panel.y.label))
    apply(panel.x, axes.xaxis)
    apply(panel.y, axes.yaxis)
    if panel.y.near is not None:
        _beyond(axes, panel.series, *panel.y.near)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _guide(axes: Any, guide: Guide) -> None:
    line, band = (axes.axvline, axes.axvspan) if guide.upright else (axes.axhline, axes.axhspan)
    label = escaped(guide.label) or None
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
    x, y, band = map(_drawable, (series.x, series.y, series.band))
    if series.marker == "|":
        y, options = [0.02] * len(x), {"marker": "|", "transform": axes.get_xaxis_transform()}
    axes.plot(
        x,
        y,
        linestyle="-" if series.line == "steps" else series.line,
        drawstyle="steps-post" if series.line == "steps" else "default",
        color=series.look.colour,
        label=escaped(series.label) or None,
        **options,
    )
    if band:
        low, high = ([v + sign * w for v, w in zip(y, band, strict=True)] for sign in (-1, 1))
        axes.fill_between(x, low, high, color=series.look.colour, alpha=0.15, linewidth=0)


def _drawable(values: Sequence[float]) -> list[float]:
    return [math.copysign(_LARGEST, value) if _LARGEST < abs(value) < math.inf else value for value in values]


def _beyond(axes: Any, series: Sequence[Series], low: float, high: float) -> None:
    """End the vertical axis at values near to each other, with a triangle at the edge for each beyond."""
    if axes.get_yscale() == "log":
        room = (high / low) ** _ROOM if high > low else 2.0
        axes.set_ylim(low / room, high * room)
    else:
        room = _ROOM * (high - low) or _ROOM * abs(high)
        axes.set_ylim(low - room, high + room)
    for one in series:
        for edge, marker in ((low, "v"), (high, "^")):
            places = [x for x, y in zip(one.x, one.y, strict=True) if (y < low if edge == low else y > high)]
            if places and one.marker not in ("", "|"):
                heights = [0.0 if edge == low else 1.0] * len(places)
                at = axes.get_xaxis_transform()
                axes.plot(places, heights, marker, color=one.look.colour, markersize=6, transform=at, clip_on=False)


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
        drawn.set_ticks(range(len(axis.names)), [escaped(shorten(name, 16)) for name in axis.names])
        drawn.axes.set_xlim(-0.5, len(axis.names) - 0.5)
    elif axis.integers:
        drawn.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if axis.low is not None:
        drawn.axes.set_ylim(bottom=axis.low)
