"""Learning curves: task loss, penalty and score by epoch, a line a setting with the spread over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regtorch.app.record.ranking import label_of_metric
from regtorch.app.record.spread import Spread
from regtorch.sweep.drawing import line, tidy
from regtorch.sweep.report.panel import FAINT, LOOKS, Panel
from regtorch.sweep.report.settings import Experiment, Setting
from regtorch.sweep.results import curve

__all__ = ["BEST", "curves", "log_if_far"]

BEST = 6
"""How many of the best settings have a colour."""
_FAINT = 60  # how many of the others are drawn
_POINTS = 100  # of a line
_FAR = 20.0  # from this ratio of values on an axis is logarithmic


def curves(experiment: Experiment) -> list[Panel]:
    """The panels there is anything to draw in."""
    drawn = [setting for setting in experiment.settings if any(run.epochs for run in setting.runs)]
    name = experiment.score.partition("/")[2]
    label = label_of_metric(name)
    titles = {"task_loss": "Task loss", "penalty": "Penalty", name: label[:1].upper() + label[1:]}
    panels = [_panel(metric, title, drawn) for metric, title in titles.items()]
    return [panel for panel in panels if panel is not None]


def _panel(metric: str, title: str, drawn: Sequence[Setting]) -> Panel | None:
    best, others = drawn[:BEST], drawn[BEST:]
    others = others[:: max(1, -(-len(others) // _FAINT))]
    stages = ("train", "val")
    of_best = [{stage: _thin(curve(s.runs, f"{stage}/{metric}")) for stage in stages} for s in best]
    of_others = [_thin(curve(s.runs, f"val/{metric}") or curve(s.runs, f"train/{metric}")) for s in others]
    means = [p.mean for lines in of_best for points in lines.values() for p in points.values() if p.count]
    if not means or (metric == "penalty" and not any(means)):
        return None

    def draw(axes: Any) -> None:
        _faint(axes, of_others)
        for setting, lines, look in zip(best, of_best, LOOKS, strict=False):
            line(axes, None, lines["train"], look.colour, "--", "")
            line(axes, setting.label, lines["val"] or {}, look.colour, "-", look.marker)
        axes.set(xlabel="epoch", ylabel=title.lower() if title != "R²" else title)
        if metric in ("task_loss", "penalty"):
            log_if_far(axes, [*means, *(p.mean for points in of_others for p in points.values() if p.count)])
        tidy(axes, whole_x=True)

    return Panel(title, _said(best, of_best), draw)


def _faint(axes: Any, lines: Sequence[Mapping[int, Spread]]) -> None:
    from matplotlib.collections import LineCollection

    found = [[(epoch, point.mean) for epoch, point in points.items() if point.count] for points in lines]
    if any(found):
        axes.add_collection(LineCollection([p for p in found if p], colors=FAINT, linewidths=0.6, alpha=0.4))
        axes.autoscale_view()


def _said(best: Sequence[Setting], lines: Sequence[Mapping[str, Mapping[int, Spread]]]) -> str:
    """The last values of the first setting, and the range of all."""
    ends = [{stage: list(points.values())[-1] for stage, points in of_one.items() if points} for of_one in lines]
    told = ", ".join(f"{stage} {point}" for stage, point in ends[0].items())
    text = f"{best[0].label} ends at {told}."
    val = [point.mean for end in ends if (point := end.get("val")) is not None and point.count]
    if len(val) > 1:
        text += f" The coloured settings end at val {Spread(min(val), 0.0, 1)} to {Spread(max(val), 0.0, 1)}."
    return text


def _thin(points: Mapping[int, Spread]) -> dict[int, Spread]:
    """A long line's points at equal distances, with its last one."""
    places = list(points)
    step = -(-len(places) // _POINTS)
    kept = places if step < 2 else [*places[:-1:step], places[-1]]
    return {place: points[place] for place in kept}


def log_if_far(axes: Any, values: Sequence[float]) -> None:
    """Make the vertical axis logarithmic where the values are positive and span much; zeros are then left out."""
    positive = [value for value in values if value > 0]
    if positive and min(values) >= 0 and max(positive) > _FAR * min(positive):
        axes.set_yscale("log")
