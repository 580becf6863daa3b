"""Panels of score, gap, weight norm and zeros along a strength, a rate or a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from regtorch.plot.labels import label_of_metric
from regtorch.plot.panel import FAINT, LOOKS, Axis, Guide, Panel, Series
from regtorch.plot.ties import highest, listed
from regtorch.spread import Spread, spread

__all__ = ["Line", "Trained", "along"]

_FEW = 0.001  # a smaller share of zeros may be chance

Points = Mapping[float, Spread]


@dataclass(frozen=True)
class Trained:
    """A trained net; unknown values are None."""

    val: float | None  # score
    train: float | None  # score
    norm: float | None  # 2-norm of the regularized weights
    zeros: float | None  # share of exact zeros among them

    @property
    def percent_zeros(self) -> float | None:
        """The share of exact zeros in percent."""
        return None if self.zeros is None else 100 * self.zeros

    @property
    def gap(self) -> float | None:
        """Training score minus validation score."""
        return None if self.train is None or self.val is None else self.train - self.val


@dataclass(frozen=True)
class Line:
    """Nets that differ in their value on the axis and in their seed."""

    label: str  # what the nets have in common
    points: Mapping[float, Sequence[Trained]]  # nets by value on the axis
    flat: Sequence[Trained] = ()  # nets without a value; their mean is a horizontal line

    def over(self, value: Callable[[Trained], float | None]) -> dict[float, Spread]:
        """Spreads over seeds, by value on the axis."""
        found = {place: spread(map(value, nets)) for place, nets in sorted(self.points.items())}
        return {place: point for place, point in found.items() if point is not None}


def along(
    lines: Sequence[Line], axis: Axis, score: str, *, name: str, unset: str = "", best: float | None = None
) -> Iterator[Panel]:
    """The panels that have data.

    Args:
        lines: the first ones get distinct looks, the rest are faint.
        axis: the horizontal axis.
        score: the score's name.
        name: the key of the axis.
        unset: describes nets without a value.
        best: the value to mark.
    """

    def panel(
        title: str,
        label: str,
        value: Callable[[Trained], float | None],
        dashed: Callable[[Trained], float | None] | None = None,
        guides: Sequence[Guide] = (),
        low: float | None = None,
    ) -> Iterator[Panel]:
        found = [(line.over(value), spread(map(value, line.flat))) for line in lines]
        trains = [line.over(dashed) if dashed else {} for line in lines]
        places = [
            axis.at(place) for points in (*(f for f, _ in found), *trains) for place, p in points.items() if p.count
        ]
        if not places:
            return
        ends = min(places), max(places)
        series: list[Series] = []
        for number, ((points, flat), second) in enumerate(zip(found, trains, strict=True)):
            looks = LOOKS[number] if number < len(LOOKS) else FAINT
            label_of = lines[number].label if looks is not FAINT else ""
            if number == len(LOOKS):
                label_of = f"{len(lines) - number} other{'s' * (len(lines) - number > 1)}"
            joined = not axis.integers  # seeds have no order
            if points:
                placed = {axis.at(place): point for place, point in points.items()}
                series.append(Series.of_means(placed, label_of, looks, "-" if joined else ""))
            elif flat is not None and flat.count:
                series.append(Series.of_means(dict.fromkeys(ends, flat), label_of, looks, ":"))
            if second and looks is not FAINT:
                placed = {axis.at(place): point for place, point in second.items()}
                series.append(Series.of_means(placed, "", looks, "--" if joined else "", "" if joined else "x"))
        marked = [] if best is None else [Guide(axis.at(best), upright=True)]
        text = _described(name, unset, lines, found)
        yield Panel(title, text, axis, Axis(label, low=low), series, [*guides, *marked])

    shown = label_of_metric(score)
    signs = "val (filled), train (crosses)" if axis.integers else "val (solid), train (dashed)"
    title = f"{shown[:1].upper()}{shown[1:]}: {signs}"
    yield from panel(title, shown, lambda net: net.val, lambda net: net.train)
    yield from panel(f"Gap: train − val {shown}", "gap, above 0: overfits", lambda net: net.gap, guides=[Guide(0.0)])
    yield from panel("Norm of the regularized weights", "‖w‖₂", lambda net: net.norm)
    if any((net.zeros or 0.0) >= _FEW for line in lines for nets in line.points.values() for net in nets):
        yield from panel("Exact zeros among them", "%", lambda net: net.percent_zeros, low=0.0)


def _described(name: str, unset: str, lines: Sequence[Line], found: Sequence[tuple[Points, Spread | None]]) -> str:
    """Describe the highest value and both ends of the first two lines."""
    parts = []
    for line, (points, flat) in list(zip(lines, found, strict=True))[:2]:
        finite = {place: point for place, point in points.items() if point.count}
        prefix = f"{line.label}: " if line.label else ""
        if finite:
            top = highest(finite)
            ends = [place for place in (min(finite), max(finite)) if place not in top]
            values = [f"highest at {listed(top)} with {finite[top[0]]}"]
            values += [f"{finite[place]} at {place:g}" for place in ends]
            parts.append(prefix + ", ".join(values))
        elif flat is not None and flat.count:
            parts.append(f"{prefix}{flat} {unset}")
    return f"Along {name}: {'; '.join(parts)}." if parts else "Nothing finite."
