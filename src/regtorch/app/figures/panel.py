"""What a figure shows, as plain data: series and guides over two axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = ["FAINT", "LOOKS", "Axis", "Guide", "Key", "Look", "Panel", "Series", "legend", "look"]

FAR = 20.0
"""From this ratio of its largest to its smallest value on, an axis is logarithmic."""
_BESIDE = 0.15  # of a logarithmic axis' span lies between 0 and the smallest positive value: room for both labels
_MARKS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "x": "×", "|": "|", "ring": "○"}
_LINES = {"-": "―", "steps": "―", "--": "╌", ":": "┈", "-.": "╌", "": ""}

LineStyle = Literal["-", "--", "-.", ":", "steps", ""]


@dataclass(frozen=True)
class Look:
    """A colour, and the marker that says the same to readers who cannot see colours.

    Attributes:
        colour: as matplotlib takes it.
        marker: as matplotlib takes it.
        variable: the colour's name in the style sheet, where it suits light and dark pages.
    """

    colour: str
    marker: str
    variable: str


# The colours of Okabe and Ito, which are safe for colour-blind readers.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LOOKS = tuple(Look(colour, mark, f"--line{n}") for n, (colour, mark) in enumerate(zip(_COLOURS, _MARKS, strict=False)))
"""For the series that a legend names."""
FAINT = Look("#8c8c96", "", "--faint")
"""For series and guides that only serve comparison."""


def look(number: int) -> Look:
    """The look of the series with this number; they repeat where there are more series than looks."""
    return LOOKS[number % len(LOOKS)]


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
    """Points, joined or not.

    Attributes:
        x: their places.
        y: their values; not used by the marker "|".
        label: names it in the legend; an unlabelled series is not in it.
        look: its colour.
        line: how points are joined; "steps" holds each value up to the next point, "" draws markers only.
        marker: matplotlib's, "ring" for a hollow circle, or "|" for ticks along the bottom edge.
        band: half the height of the band around each point; empty without a band.
    """

    x: Sequence[float]
    y: Sequence[float]
    label: str = ""
    look: Look = FAINT
    line: LineStyle = "-"
    marker: str = ""
    band: Sequence[float] = ()

    @classmethod
    def of_means(
        cls,
        points: Mapping[Any, _Mean],
        label: str = "",
        look: Look = FAINT,
        line: LineStyle = "-",
        marker: str | None = None,
    ) -> Series:
        """Means in a band of one standard deviation, without those of no finite value.

        The marker is the look's own where none is given, and none on a dashed line.
        """
        kept = {x: point for x, point in points.items() if point.count}
        several = any(point.count > 1 for point in kept.values())
        band = [point.deviation if point.count > 1 else 0.0 for point in kept.values()] if several else []
        marker = (look.marker if line != "--" else "") if marker is None else marker
        return cls(list(kept), [point.mean for point in kept.values()], label, look, line, marker, band)


@dataclass(frozen=True)
class Guide:
    """A faint line across the panel, or a band from `low` to `high`; upright where it marks places on the x axis."""

    low: float
    high: float | None = None
    label: str = ""
    upright: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: its name and unit.
        log: whether it is logarithmic.
        integers: whether it is labelled at integers only.
        low: its lower end; where None, the data decide.
        names: the labels of 0, 1, 2, … on an axis of choices.
        places: on a logarithmic axis, the positive values that may be labelled; empty labels the decades.
        zero: on a logarithmic axis, the place at which 0 is drawn; None where 0 does not occur.
    """

    label: str = ""
    log: bool = False
    integers: bool = False
    low: float | None = None
    names: Sequence[str] = ()
    places: Sequence[float] = ()
    zero: float | None = None

    @classmethod
    def fitting(cls, label: str, values: Iterable[float]) -> Axis:
        """Logarithmic where no value is negative and the positive ones span much."""
        values = [value for value in values if math.isfinite(value)]
        positive = [value for value in values if value > 0]
        return cls(label, log=bool(positive) and min(values) >= 0 and max(positive) > FAR * min(positive))

    @classmethod
    def along(cls, label: str, values: Iterable[float], *, log: bool = False) -> Axis:
        """An axis of strengths, rates or bounds: where it is logarithmic, 0 has a place of its own at the left.

        Args:
            label: its name.
            values: all that is drawn along it.
            log: whether it is logarithmic even where the values do not span much.
        """
        values = sorted(set(values))
        positive = [value for value in values if value > 0]
        far = len(positive) > 1 and positive[-1] / positive[0] >= FAR
        if not positive or values[0] < 0 or not (log or far):
            return cls(label)
        room = max((positive[-1] / positive[0]) ** _BESIDE, 3.0)
        return cls(label, log=True, places=positive, zero=positive[0] / room if values[0] == 0 else None)

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        return self.zero if self.zero is not None and value == 0 else value


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a sign, its colour's name in the style sheet, and its meaning."""

    sign: str
    variable: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: what it shows.
        text: the result in words, for readers who do not see the plot.
        x: the horizontal axis.
        y: the vertical axis.
        series: drawn in this order.
        guides: drawn below them.
        bars: in place of series, horizontal bars by name, in per cent.
        note: in place of series, why there are none.
    """

    title: str
    text: str
    x: Axis
    y: Axis
    series: Sequence[Series] = ()
    guides: Sequence[Guide] = ()
    bars: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def legend(panels: Iterable[Panel]) -> list[Key]:
    """The legend that panels share: each label once."""
    keys: dict[str, Key] = {}
    for panel in panels:
        for series in panel.series:
            sign = _MARKS.get(series.marker) or _LINES[series.line]
            keys.setdefault(series.label, Key(sign, series.look.variable, series.label))
        for guide in panel.guides:
            sign = "╌" if guide.high is None else "▒"
            keys.setdefault(guide.label, Key(sign, FAINT.variable, guide.label))
    return [key for label, key in keys.items() if label]
