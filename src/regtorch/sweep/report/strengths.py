"""The regularization path: what becomes of a net along a strength, a rate or a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regtorch.app.record.axes import STRENGTHS
from regtorch.app.record.ranking import label_of_metric
from regtorch.app.record.spread import Spread, spread
from regtorch.sweep.drawing import line, tidy
from regtorch.sweep.report.entry import Entry
from regtorch.sweep.report.panel import FAINT, LOOKS, Panel
from regtorch.sweep.report.settings import Experiment, label_of
from regtorch.sweep.scale import Scale

__all__ = ["Strengths", "strengths_of", "unset"]

_FEW = 0.001  # a share of zeros that chance may give
Value = Callable[[Entry], float | None]


@dataclass(frozen=True)
class Strengths:
    """The plots along one axis.

    Attributes:
        axis: the key that runs along it.
        lines: the labels of the coloured lines, in the order of their looks.
        others: how many lines are drawn faintly.
        panels: score, gap, norm and zeros, as far as they are known.
    """

    axis: str
    lines: Sequence[str]
    others: int
    panels: Sequence[Panel]


@dataclass(frozen=True)
class _Line:
    """Entries that differ along the axis, and in their seeds; `flat` ones have no place on it.

    Lines of one `family` differ in other axes only.
    """

    label: str
    family: str
    points: Mapping[float, Sequence[Entry]]
    flat: Sequence[Entry]

    def over(self, value: Value) -> dict[float, Spread]:
        found = {place: spread(map(value, entries)) for place, entries in sorted(self.points.items())}
        return {place: point for place, point in found.items() if point is not None}


def strengths_of(experiment: Experiment) -> Iterator[Strengths]:
    """The plots along each axis on which some line has more than one place. A search's trials are shown with it."""
    entries = [entry for s in experiment.settings for entry in s.entries if not entry.searched]
    for axis in STRENGTHS:
        lines = _lines(axis, entries, experiment.score)
        if any(len(line.points) > 1 for line in lines):
            name = experiment.score.partition("/")[2]
            panels = [p for p in _panels(axis, lines, name) if p is not None]
            if panels:
                yield Strengths(axis, [line.label for line in lines[: len(LOOKS)]], len(lines[len(LOOKS) :]), panels)


def unset(axis: str) -> str:
    """How runs without a place on an axis were trained; their nets may have a dropout of their own."""
    return "without a penalty" if axis == "reg.lam" else f"with {axis} not set"


def _lines(axis: str, entries: Sequence[Entry], score: str) -> list[_Line]:
    """The lines, that with the best place first, equal ones in the order of their settings."""
    others = [{key: value for key, value in entry.values.items() if key != axis} for entry in entries]
    keys = sorted({key for values in others for key in values})
    keys = [key for key in keys if len({values.get(key) for values in others}) > 1]
    found: dict[str, tuple[str, dict[float, list[Entry]], list[Entry]]] = {}
    for entry, values in zip(entries, others, strict=True):
        family = label_of(values, [key for key in keys if key not in STRENGTHS])
        _, points, flat = found.setdefault(label_of(values, keys), (family, {}, []))
        place = entry.along.get(axis)
        (flat if place is None else points.setdefault(place, [])).append(entry)
    lines = [_Line("all" if not keys else label, *of_one) for label, of_one in found.items()]

    def rank(of_one: _Line) -> float:
        means = [p.mean for p in of_one.over(lambda e: e.run.final(score)).values() if p.count]
        flat = spread(entry.run.final(score) for entry in of_one.flat)
        means += [flat.mean] if flat is not None and flat.count else []
        return -max(means, default=0.0)

    return _best_of_families(sorted(lines, key=rank))


def _best_of_families(lines: Sequence[_Line]) -> list[_Line]:
    """Of the lines that are drawn across, the best of each family, as dropout's rates in a plot along a strength."""
    sizes = Counter(line.family for line in lines if not line.points)
    kept: list[_Line] = []
    for of_one in lines:
        size = 1 if of_one.points else sizes.pop(of_one.family, 0)
        if size:
            label = of_one.label if size == 1 else f"{of_one.label}, the best of {size}"
            kept.append(replace(of_one, label=label))
    return kept


def _panels(axis: str, lines: Sequence[_Line], name: str) -> Iterator[Panel | None]:
    label = label_of_metric(name)
    scale = Scale((place for line in lines for place in line.points), log=STRENGTHS[axis].log)

    def last(stage: str) -> Value:
        return lambda entry: entry.run.final(f"{stage}/{name}")

    def gap(entry: Entry) -> float | None:
        train, val = (last(stage)(entry) for stage in ("train", "val"))
        return None if train is None or val is None else train - val

    title = f"{label[:1].upper()}{label[1:]}"
    yield _panel(axis, scale, lines, f"{title}: val (solid), train (dashed)", label, last("val"), last("train"))
    yield _panel(axis, scale, lines, f"Gap: train − val {label}", "gap", gap, zero=True)
    yield _panel(axis, scale, lines, "Norm of the regularized weights", "‖w‖₂", _norm)
    shares = [
        entry.run.record.regularized.sparsity or 0.0
        for of_one in lines
        for of in of_one.points.values()
        for entry in of
    ]
    if max(shares, default=0.0) >= _FEW:
        yield _panel(axis, scale, lines, "Exact zeros among them", "%", _percent, lowest=0.0)


def _norm(entry: Entry) -> float | None:
    return entry.run.record.regularized.norm


def _percent(entry: Entry) -> float | None:
    share = entry.run.record.regularized.sparsity
    return None if share is None else 100 * share


def _panel(
    axis: str,
    scale: Scale,
    lines: Sequence[_Line],
    title: str,
    ylabel: str,
    value: Value,
    dashed: Value | None = None,
    *,
    lowest: float | None = None,
    zero: bool = False,
) -> Panel | None:
    """One value against the axis; a line without a place on it is drawn across."""
    found = [(of_one.over(value), spread(map(value, of_one.flat))) for of_one in lines]
    second = [of_one.over(dashed) if dashed else {} for of_one in lines]
    if not any(point.count for points, _ in found for point in points.values()):
        return None

    places = [scale.at(place) for points, _ in found for place in points]
    ends = min(places), max(places)

    def draw(axes: Any) -> None:
        for number, (of_one, (points, flat), under) in enumerate(zip(lines, found, second, strict=True)):
            look = LOOKS[number] if number < len(LOOKS) else None
            colour = FAINT if look is None else look.colour
            named = of_one.label if look is not None else None
            placed = {scale.at(place): point for place, point in points.items()}
            if placed:
                line(axes, named, placed, colour, "-", "" if look is None else look.marker)
            elif flat is not None and flat.count:
                _across(axes, named, flat, colour, ends, "" if look is None else look.marker)
            if look is not None and under:
                line(axes, None, {scale.at(place): point for place, point in under.items()}, colour, "--", "")
        if zero:
            axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.set(xlabel=f"{STRENGTHS[axis].label} ({axis})", ylabel=ylabel)
        tidy(axes)
        scale.apply(axes)
        if lowest is not None:
            axes.set_ylim(bottom=lowest)

    return Panel(title, _said(axis, lines, found), draw)


def _across(axes: Any, label: str | None, point: Spread, colour: str, ends: tuple[float, float], marker: str) -> None:
    axes.plot(ends, [point.mean] * 2, ":", label=label, color=colour, marker=marker, markersize=3.5)
    if point.count > 1:
        low, high = point.mean - point.deviation, point.mean + point.deviation
        axes.fill_between(ends, low, high, color=colour, alpha=0.1, linewidth=0)


def _said(axis: str, lines: Sequence[_Line], found: Sequence[tuple[Mapping[float, Spread], Spread | None]]) -> str:
    """For the first two lines, where they are highest and where they end."""
    parts = []
    for of_one, (points, flat) in list(zip(lines, found, strict=True))[:2]:
        finite = {place: point for place, point in points.items() if point.count}
        name = "" if of_one.label == "all" else f"{of_one.label}: "
        if finite:
            top = max(finite, key=lambda place: finite[place].mean)
            ends = [place for place in (min(finite), max(finite)) if place != top]
            told = [f"highest at {top:g} with {finite[top]}", *(f"{finite[place]} at {place:g}" for place in ends)]
            parts.append(name + ", ".join(told))
        elif flat is not None and flat.count:
            parts.append(f"{name}{flat} {unset(axis)}")
    return f"Along {axis}: {'; '.join(parts)}." if parts else "Nothing finite."
