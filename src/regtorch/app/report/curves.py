"""Learning curves: task loss, penalty and score by epoch, with a line and a band over seeds per setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from regtorch.app.record.axes import STRENGTHS
from regtorch.app.record.results import curve
from regtorch.app.report.experiments import Experiment, Setting
from regtorch.counted import counted
from regtorch.plot.labels import label_of_metric
from regtorch.plot.panel import LOOKS, Axis, Look, Panel, Series, looks_along
from regtorch.spread import Spread

__all__ = ["coloured_by", "curves"]

_BEST = 6  # settings with a colour
_SEVERAL = 3  # values that make a sequence
_FAINT = 60  # further settings
_POINTS = 100  # per line


def curves(experiment: Experiment) -> list[Panel]:
    """The panels that have data."""
    drawn = _drawn(experiment)
    key = coloured_by(experiment)
    looks = LOOKS if key is None else looks_along([s.entries[0].along[key] for s in drawn[:_BEST]])
    name = experiment.metric
    label = label_of_metric(name)
    titles = {"task_loss": "Task loss", "penalty": "Penalty", name: label[:1].upper() + label[1:]}
    panels = [_panel(metric, title, drawn, looks) for metric, title in titles.items()]
    return [panel for panel in panels if panel is not None]


def coloured_by(experiment: Experiment) -> str | None:
    """The strength, rate or bound whose size the colours show: the first with several values; None without one."""
    best = _drawn(experiment)[:_BEST]
    places = {key: [s.entries[0].along.get(key) for s in best] for key in STRENGTHS}
    return next((key for key, own in places.items() if None not in own and len(set(own)) >= _SEVERAL), None)


def _drawn(experiment: Experiment) -> list[Setting]:
    return [setting for setting in experiment.settings if any(run.epochs for run in setting.runs)]


def _panel(metric: str, title: str, drawn: Sequence[Setting], looks: Sequence[Look]) -> Panel | None:
    best, rest = drawn[:_BEST], drawn[_BEST:]
    shown = rest[:: max(1, -(-len(rest) // _FAINT))]
    of_best = [{stage: curve(s.runs, f"{stage}/{metric}", _POINTS) for stage in ("train", "val")} for s in best]
    of_rest = [curve(s.runs, f"val/{metric}", _POINTS) or curve(s.runs, f"train/{metric}", _POINTS) for s in shown]
    means = [p.mean for lines in of_best for points in lines.values() for p in points.values() if p.count]
    if not means or (metric == "penalty" and not any(means)):
        return None
    series: list[Series] = []
    for setting, lines, look in zip(best, of_best, looks, strict=False):
        series.append(Series.of_means(lines["val"], setting.label, look))
        series.append(Series.of_means(lines["train"], "", look, "--"))
    for number, points in enumerate(of_rest):
        label = "" if number else counted(len(rest), "other")
        series.append(replace(Series.of_means(points, label), band=()))
    means += [p.mean for points in of_rest for p in points.values() if p.count]
    label = title.lower() if title != "R²" else title
    y = Axis.fitting(label, means) if metric in ("task_loss", "penalty") else Axis(label)
    return Panel(title, _described(best, of_best), Axis("epoch", integers=True), y, series)


def _described(best: Sequence[Setting], lines: Sequence[Mapping[str, Mapping[int, Spread]]]) -> str:
    """The final values of the first setting, and their range over all."""
    ends = [{stage: list(points.values())[-1] for stage, points in by.items() if points} for by in lines]
    text = f"{best[0].label} ends at {', '.join(f'{stage} {point}' for stage, point in ends[0].items())}."
    val = [point.mean for end in ends if (point := end.get("val")) is not None and point.count]
    if len(val) > 1:
        text += f" The coloured settings end at val {Spread(min(val), 0.0, 1)} to {Spread(max(val), 0.0, 1)}."
    return text
