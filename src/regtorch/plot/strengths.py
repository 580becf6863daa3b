"""Results along the strengths of a path, from the `path.csv` that `regtorch path` writes."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regtorch.checks import shown
from regtorch.plot.canvas import axes_for, draw_panel
from regtorch.plot.labels import AXIS_LABELS, label_of_metric, score_of
from regtorch.plot.panel import Axis, Guide, Panel, Series, look
from regtorch.plot.ties import highest, listed
from regtorch.spread import Spread, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["path"]

_EXPECTED = "the folder of a path, which `regtorch path` writes, or its path.csv"
_STAGES = ("val", "train")


@dataclass(frozen=True)
class _Member:
    """A net of the path after its last epoch."""

    place: Mapping[str, float]  # its values of strength, rate, bound and seed, as far as the path has them
    epoch: float
    metrics: Mapping[str, float]


def path(source: str | os.PathLike[str], ax: Axes | None = None, *, what: str | None = None) -> Axes:
    r"""Draw what a path of strengths led to: validation solid, training dashed, means and deviations over seeds.

    The axis of strengths is logarithmic, with 0 at its left end. Other values that the path varies, such as a dropout
    rate, make a line each. Of the score, the highest validation mean is marked, at all places that have it. Nets that
    ended before the last epoch, since they diverged, are left out and counted in the title.

    Args:
        source: the folder of a path, which `regtorch path` writes, or its path.csv.
        ax: matplotlib's axes to draw on; None makes a figure.
        what: "accuracy" (in a regression "r2"), "loss", "task_loss" or "penalty", after the last epoch. None draws the
            score.

    Returns:
        The axes.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: the file is no path's, or has no such metric.
        TypeError: `source` is no path of a file, or `ax` are no axes.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import tempfile, pathlib, regtorch as rt
        >>> head = "member,lam,rate,max_value,seed,epoch,train/accuracy,val/accuracy"
        >>> rows = ["0,0,,,,1,0.99,0.88", "1,0.001,,,,1,0.97,0.93", "2,0.1,,,,1,0.6,0.6"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "path.csv").write_text("\n".join([head, *rows]))
        ...     ax = rt.plot.path(folder)
        >>> ax.get_xlabel(), ax.get_xscale(), ax.get_legend().get_texts()[0].get_text()
        ('strength λ', 'log', 'highest: 0.930 at 0.001')
    """
    file, members = _members(source)
    metrics = dict.fromkeys(name.partition("/")[2] for member in members for name in member.metrics)
    score = score_of(name for member in members for name in member.metrics)
    what = score if what is None else what
    if what not in metrics:
        raise ValueError(f"plot.path: what must be one of {', '.join(map(repr, metrics))}, received {what!r}")
    panel = _panel(members, what, best=what == score)
    if not panel.series:
        raise ValueError(f"plot.path: {file} has no finite {what} after the last epoch")
    return draw_panel(panel, axes_for("plot.path", ax))


def _panel(members: Sequence[_Member], what: str, *, best: bool) -> Panel:
    last = max(member.epoch for member in members)
    ended = [member for member in members if member.epoch == last]
    across, others = _axes_of(members)
    values = [member.place[across] for member in members]
    x = Axis(AXIS_LABELS[across], integers=True) if across == "seed" else _along(across, values)
    lines: dict[str, list[_Member]] = {}
    for member in ended:
        name = ", ".join(f"{AXIS_LABELS[axis]} {member.place[axis]:g}" for axis in others)
        lines.setdefault(name, []).append(member)
    series: list[Series] = []
    best_of: dict[float, Spread] = {}  # lines
    for number, (name, own) in enumerate(lines.items()):
        for stage, line in zip(_STAGES, ("-", "--"), strict=True):
            points = _points(own, across, f"{stage}/{what}")
            placed = {x.at(place): point for place, point in points.items()}
            if placed:
                label = name if stage == _STAGES[0] else ""
                series.append(Series.of_means(placed, label, look(number), line))
            if stage == "val":
                best_of |= {p: s for p, s in points.items() if p not in best_of or s.mean > best_of[p].mean}
    guides = []
    if best and best_of:
        top = sorted(highest(best_of))
        label = f"highest: {best_of[top[0]].mean:.3f} at {listed(top)}"
        guides = [Guide(x.at(place), label="" if number else label, upright=True) for number, place in enumerate(top)]
    lost = len(members) - len(ended)
    label = label_of_metric(what).replace("_", " ")
    title = f"{label[:1].upper()}{label[1:]}: val (solid), train (dashed)" + (f"; {lost} ended early" if lost else "")
    lows = [y - w for line in series for y, w in zip(line.y, line.band or [0.0] * len(line.y), strict=True)]
    heights = [y for line in series for y in line.y]
    y = Axis(label) if best or min(lows, default=0.0) <= 0 else Axis.fitting(label, heights)
    return Panel(title, "", x, y, series, guides)


def _points(members: Sequence[_Member], across: str, metric: str) -> dict[float, Spread]:
    """Spreads over seeds by place, where there are finite values."""
    values: dict[float, list[float]] = {}
    for member in sorted(members, key=lambda member: member.place[across]):
        if metric in member.metrics:
            values.setdefault(member.place[across], []).append(member.metrics[metric])
    spreads = {place: spread(own) for place, own in values.items()}
    return {place: point for place, point in spreads.items() if point is not None and point.count}


def _along(across: str, values: Sequence[float]) -> Axis:
    return Axis.along(AXIS_LABELS[across], values, log=across == "lam")


def _axes_of(members: Sequence[_Member]) -> tuple[str, list[str]]:
    """The horizontal axis, and those that make lines."""
    known = [axis for axis in AXIS_LABELS if all(axis in member.place for member in members)]
    varied = [axis for axis in known if len({member.place[axis] for member in members}) > 1]
    across = next((axis for axis in varied if axis != "seed"), "seed" if varied else known[0])
    return across, [axis for axis in varied if axis not in (across, "seed")]


def _members(source: str | os.PathLike[str]) -> tuple[Path, list[_Member]]:
    """The members of a path, each after its last epoch."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"plot.path: source must be {_EXPECTED}, received {shown(source)}")
    file = Path(source)
    file = file / "path.csv" if file.is_dir() else file
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            if not {"member", "epoch", "lam"} <= set(table.fieldnames or ()):
                raise ValueError(f"plot.path: source must be {_EXPECTED}; {file} has other columns")
            found = {row["member"]: _member(row) for row in table}  # epochs are in order
    except FileNotFoundError:
        raise FileNotFoundError(f"plot.path: source must be {_EXPECTED}; there is no file {str(file)!r}") from None
    except (TypeError, UnicodeDecodeError, csv.Error, _NoNumber) as error:
        raise ValueError(f"plot.path: {file} cannot be read as a path: {error}") from None
    known = [axis for axis in AXIS_LABELS if all(axis in member.place for member in found.values())]
    if not found or not known:
        raise ValueError(f"plot.path: {file} has no rows with values of {', '.join(AXIS_LABELS)}")
    return file, list(found.values())


class _NoNumber(Exception):
    """A cell without a number."""


def _member(row: Mapping[str, str]) -> _Member:
    numbers = {name: _number(name, text) for name, text in row.items() if text}
    place = {axis: numbers[axis] for axis in AXIS_LABELS if axis in numbers}
    metrics = {name: value for name, value in numbers.items() if name.partition("/")[0] in _STAGES}
    if "epoch" not in numbers:
        raise _NoNumber("a row has no epoch")
    return _Member(place, numbers["epoch"], metrics)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _NoNumber(f"{name} must be a number, received {text[:40]!r}") from None
