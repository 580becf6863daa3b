"""Figures as plain data: series and guides over two axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from regtorch.plot.fences import fence

__all__ = [
    "FAINT",
    "LOOKS",
    "SEQUENCE",
    "Axis",
    "Guide",
    "Key",
    "Look",
    "Panel",
    "Series",
    "legend",
    "look",
    "looks_along",
]

WIDE = 20.0
"""An axis is logarithmic from this ratio of its largest to its smallest value."""
_GAP = 0.15  # share of a logarithmic axis between 0 and the smallest positive value, for both labels
_MARKS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "x": "×", "|": "|", "ring": "○"}
_LINES = {"-": "―", "steps": "―", "--": "╌", ":": "┈", "-.": "╌", "": ""}

LineStyle = Literal["-", "--", "-.", ":", "steps", ""]


@dataclass(frozen=True)
class Look:
    """A colour, and a marker for readers who cannot see colours."""

    colour: str  # matplotlib's
    marker: str  # matplotlib's
    variable: str  # colour in the style sheet, for light and dark pages


# The colour-blind safe palette of Okabe and Ito.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LOOKS = tuple(Look(colour, mark, f"--line{n}") for n, (colour, mark) in enumerate(zip(_COLOURS, _MARKS, strict=False)))
"""For series in the legend."""
SEQUENCE = tuple(
    Look(colour, "o", f"--seq{n}")
    for n, colour in enumerate(
        ("#0d0887", "#370499", "#5601a4", "#7401a8", "#8f0da4", "#aa2395", "#bf3984", "#d14e72", "#e16462")
    )
)
"""For values from low to high: of matplotlib's plasma, which is even to colour-blind readers, what shows on white."""
FAINT = Look("#8c8c96", "", "--faint")
"""For series and guides that serve as a reference."""


def look(number: int) -> Look:
    """The look of a series by its number; looks repeat."""
    return LOOKS[number % len(LOOKS)]


def looks_along(values: Sequence[float]) -> list[Look]:
    """A colour of the sequence for each value, by its rank among them, with markers that tell equal ones apart."""
    ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
    last = max(1, len(ranks) - 1)
    sequence = [SEQUENCE[round((len(SEQUENCE) - 1) * ranks[value] / last)] for value in values]
    return [replace(found, marker=look(number).marker) for number, found in enumerate(sequence)]


class _Mean(Protocol):
    """A mean over `count` finite values, and their standard deviation."""

    @property
    def mean(self) -> float: ...
    @property
    def deviation(self) -> float: ...
    @property
    def count(self) -> int: ...


@dataclass(frozen=True)
class Series:
    """Points, with or without a line."""

    x: Sequence[float]
    y: Sequence[float]  # ignored for the marker "|"
    label: str = ""  # in the legend; empty: not listed
    look: Look = FAINT
    line: LineStyle = "-"  # "steps" holds each value up to the next point; "" draws markers only
    marker: str = ""  # matplotlib's, "ring" for a hollow circle, or "|" for ticks along the bottom edge
    band: Sequence[float] = ()  # half-height of the band around each point

    @classmethod
    def of_means(
        cls,
        points: Mapping[Any, _Mean],
        label: str = "",
        look: Look = FAINT,
        line: LineStyle = "-",
        marker: str | None = None,
    ) -> Series:
        """Means with a band of one standard deviation; means without finite values are dropped.

        The default marker is the look's, or none on a dashed line.
        """
        kept = {x: point for x, point in points.items() if point.count}
        several = any(point.count > 1 for point in kept.values())
        band = [point.deviation if point.count > 1 else 0.0 for point in kept.values()] if several else []
        marker = (look.marker if line != "--" else "") if marker is None else marker
        return cls(list(kept), [point.mean for point in kept.values()], label, look, line, marker, band)


@dataclass(frozen=True)
class Guide:
    """A faint line across the panel at `low`, or a band from `low` to `high`; upright: vertical."""

    low: float
    high: float | None = None
    label: str = ""
    upright: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis of a panel."""

    label: str = ""  # name and unit
    log: bool = False
    integers: bool = False  # label integers only
    low: float | None = None  # lower end; None: from the data
    names: Sequence[str] = ()  # labels of 0, 1, 2, … on an axis of choices
    positive: Sequence[float] = ()  # values that may be labelled on a log axis; empty: decades
    zero: float | None = None  # where 0 is drawn on a log axis; None if 0 does not occur
    near: tuple[float, float] | None = None  # the ends, beyond which values are marked at the edge; None: nothing is

    @classmethod
    def fitting(cls, label: str, values: Iterable[float], *, fenced: bool = False) -> Axis:
        """An axis that is logarithmic if no value is negative and the positive ones span a wide range.

        Args:
            label: name and unit.
            values: what is drawn along it.
            fenced: whether it ends before values far from all others, which do not count then.
        """
        values = [value for value in values if math.isfinite(value)]
        near = fence(values) if fenced else None
        low, high = near or (-math.inf, math.inf)
        positive = [value for value in values if value > 0 and low <= value <= high]
        log = bool(positive) and min(values) >= 0 and max(positive) > WIDE * min(positive)
        return cls(label, log=log, near=near)

    @classmethod
    def along(cls, label: str, values: Iterable[float], *, log: bool = False) -> Axis:
        """An axis of strengths, rates or bounds; if logarithmic, by `log` or a wide range, 0 is drawn at the left."""
        values = sorted(set(values))
        positive = [value for value in values if value > 0]
        wide = len(positive) > 1 and positive[-1] / positive[0] >= WIDE
        if not positive or values[0] < 0 or not (log or wide):
            return cls(label)
        gap = max((positive[-1] / positive[0]) ** _GAP, 3.0)
        return cls(label, log=True, positive=positive, zero=positive[0] / gap if values[0] == 0 else None)

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        return self.zero if self.zero is not None and value == 0 else value


@dataclass(frozen=True)
class Key:
    """An entry of a legend: sign, colour in the style sheet, and label."""

    sign: str
    variable: str
    label: str


@dataclass(frozen=True)
class Panel:
    """A plot."""

    title: str
    text: str  # the result in words, for readers who cannot see the plot
    x: Axis
    y: Axis
    series: Sequence[Series] = ()  # in drawing order
    guides: Sequence[Guide] = ()  # drawn below the series
    bars: Mapping[str, float] = field(default_factory=dict)  # horizontal bars in per cent, instead of series
    note: str = ""  # shown instead of series: why there are none


def legend(panels: Iterable[Panel]) -> list[Key]:
    """The common legend of panels."""
    keys: dict[str, Key] = {}
    for panel in panels:
        for series in panel.series:
            sign = _MARKS.get(series.marker) or _LINES[series.line]
            keys.setdefault(series.label, Key(sign, series.look.variable, series.label))
        for guide in panel.guides:
            sign = "╌" if guide.high is None else "▒"
            keys.setdefault(guide.label, Key(sign, FAINT.variable, guide.label))
    return [key for label, key in keys.items() if label]
