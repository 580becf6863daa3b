"""Plots of an experiment along a strength, a rate or a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regtorch.app.figures.along import Line, Trained, along
from regtorch.app.record.axes import STRENGTHS
from regtorch.app.report.entry import Entry
from regtorch.app.report.experiments import Experiment, label_of
from regtorch.plot.panel import Axis, Panel

__all__ = ["Strengths", "strengths_of", "unset"]


@dataclass(frozen=True)
class Strengths:
    """Plots along one axis: its key, the lines' labels (best first), and the panels."""

    axis: str
    lines: Sequence[str]
    panels: Sequence[Panel]


def strengths_of(experiment: Experiment) -> Iterator[Strengths]:
    """The plots along each axis with a line of several places; trials are plotted with their search."""
    entries = [entry for s in experiment.settings for entry in s.entries if not entry.searched]
    for key in STRENGTHS:
        lines = _lines(key, entries, experiment.metric)
        if any(len(line.points) > 1 for line in lines):
            places = [place for line in lines for place in line.points]
            axis = Axis.along(f"{STRENGTHS[key].label} ({key})", places, log=STRENGTHS[key].log)
            panels = list(along(lines, axis, experiment.metric, name=key, unset=unset(key)))
            if panels:
                yield Strengths(key, [line.label for line in lines], panels)


def unset(axis: str) -> str:
    """How runs without a place on an axis were trained."""
    return "without a penalty" if axis == "reg.lam" else f"with {axis} not set"


def _lines(axis: str, entries: Sequence[Entry], metric: str) -> list[Line]:
    """The lines in the order of their best settings, best first.

    Of lines without a place on the axis that differ only in other axes, such as dropout rates in a plot along a
    strength, only the best is kept.
    """
    rests = [{key: value for key, value in entry.values.items() if key != axis} for entry in entries]
    keys = sorted({key for values in rests for key in values})
    keys = [key for key in keys if len({values.get(key) for values in rests}) > 1]
    groups: dict[str, list[Entry]] = {}
    families: dict[str, str] = {}
    for entry, values in zip(entries, rests, strict=True):
        label = label_of(values, keys) if keys else ""
        groups.setdefault(label, []).append(entry)
        families[label] = label_of(values, [key for key in keys if key not in STRENGTHS])

    flat = {label for label, group in groups.items() if all(axis not in entry.along for entry in group)}
    sizes = Counter(families[label] for label in flat)
    lines: list[Line] = []
    for label in groups:  # as settings are, best first
        size = sizes.pop(families[label], 0) if label in flat else 1
        if size:
            points: dict[float, list[Trained]] = {}
            across: list[Trained] = []
            for entry in groups[label]:
                place = entry.along.get(axis)
                net = _trained(entry, metric)
                (across if place is None else points.setdefault(place, [])).append(net)
            lines.append(Line(label if size == 1 else f"{label}, the best of {size}", points, across))
    return lines


def _trained(entry: Entry, name: str) -> Trained:
    val, train = (entry.run.final(f"{stage}/{name}") for stage in ("val", "train"))
    regularized = entry.run.record.regularized
    return Trained(val, train, regularized.norm, regularized.sparsity)
