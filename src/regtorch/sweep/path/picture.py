"""The regularization path as a picture: scores, gap, weight norm and zeros against what was varied."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from regtorch.app.record.axes import AXES
from regtorch.app.record.ranking import label_of_metric
from regtorch.app.record.spread import spread
from regtorch.sweep.drawing import COLOURS
from regtorch.sweep.path.members import varied
from regtorch.sweep.path.outcome import Outcome
from regtorch.sweep.path.ranking import Setting, best_setting, settings_of
from regtorch.sweep.scale import Scale
from regtorch.training.whole import write_png

__all__ = ["PICTURE", "draw"]

PICTURE = "path.png"

Value = Callable[[Outcome], float | None]


def draw(outcomes: Sequence[Outcome], score: str, path: Path) -> None:
    """Draw four panels after the last epoch; a line is a mean over seeds in a band from the lowest to the highest.

    Args:
        outcomes: every member's; those that diverged are left out.
        score: the task's.
        path: the .png to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    axes = varied([outcome.member for outcome in outcomes])
    across = next((axis for axis in axes if axis != "seed"), "seed" if axes else next(iter(outcomes[0].member.values)))
    told = [axis for axis in axes if axis not in (across, "seed")]
    lines = _lines(outcomes, told)
    scale = Scale(outcome.member.values[across] for outcome in outcomes)

    def place(outcome: Outcome) -> float:
        return scale.at(outcome.member.values[across])

    figure = Figure(figsize=(11, 7.6), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    label = label_of_metric(score)
    for (name, of_line), colour in zip(lines.items(), cycle(COLOURS), strict=False):
        solid, dashed = ({"color": colour, "linestyle": style if across != "seed" else ""} for style in ("-", "--"))
        if not name:  # a single line has a colour left for train
            dashed["color"] = COLOURS[1]
        _line(panels[0, 0], place, of_line, _last(f"val/{score}"), f"{name} val".strip(), **solid)
        _line(panels[0, 0], place, of_line, _last(f"train/{score}"), f"{name} train".strip(), **dashed)
        _line(panels[0, 1], place, of_line, _gap(score), name, **solid)
        _line(panels[1, 0], place, of_line, lambda o: o.norm, name, **solid)
        _line(panels[1, 1], place, of_line, lambda o: None if o.zeros is None else 100 * o.zeros, name, **solid)
    panels[0, 0].set(title=f"{label.capitalize()}: val (solid) and train (dashed)", ylabel=label)
    panels[0, 1].set(title=f"Gap: train − val {label}", ylabel="gap")
    panels[0, 1].axhline(0, color="grey", linewidth=0.8)
    panels[1, 0].set(title="Norm of the regularized weights", ylabel="‖w‖₂")
    panels[1, 1].set(title="Exact zeros among them", ylabel="%")
    panels[1, 1].set_ylim(0, max(1.0, panels[1, 1].get_ylim()[1]))
    if all(_gap(score)(outcome) is None for outcome in outcomes):
        _say(panels[0, 1], "no validation")
    best = best_setting(settings_of(outcomes, score))
    for panel in panels.flat:
        if across == "seed":
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        else:
            scale.apply(panel)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        if best is not None:
            panel.axvline(place(best.outcomes[0]), color="black", linewidth=0.8, linestyle=":")
    for panel in panels[1]:
        panel.set_xlabel(AXES[across].label)
    if not panels[0, 0].lines:  # all diverged
        _say(panels[0, 0], "no member went through")
    elif len(lines) > 1:
        handles, labels = panels[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    else:
        panels[0, 0].legend(frameon=False)
    figure.suptitle(_title(outcomes, best, label), fontsize="medium")
    write_png(figure, path)


def _say(panel: Any, text: str) -> None:
    """In place of lines."""
    panel.text(0.5, 0.5, text, ha="center", transform=panel.transAxes)


def _title(outcomes: Sequence[Outcome], best: Setting | None, label: str) -> str:
    lost = sum(outcome.diverged is not None for outcome in outcomes)
    parts = [f"{len(outcomes)} members after the last epoch"]
    if best is not None:
        stage = str(best.metric).partition("/")[0]
        parts.append(f"dotted: {best.label}, best by its best epoch's {stage} {label}")
    if lost:
        parts.append(f"{lost} diverged")
    return "; ".join(parts)


def _lines(outcomes: Sequence[Outcome], told: Sequence[str]) -> dict[str, list[Outcome]]:
    """Members by what a line stands for: everything but what runs across, and the seeds."""
    lines: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        name = ", ".join(f"{AXES[axis].label} {outcome.member.values[axis]:g}" for axis in told)
        lines.setdefault(name, []).append(outcome)
    return lines


def _last(metric: str) -> Value:
    return lambda outcome: outcome.final.get(metric)


def _gap(score: str) -> Value:
    def gap(outcome: Outcome) -> float | None:
        train, val = (_last(f"{stage}/{score}")(outcome) for stage in ("train", "val"))
        return None if train is None or val is None else train - val

    return gap


def _line(
    panel: Any, place: Callable[[Outcome], float], outcomes: Sequence[Outcome], value: Value, label: str, **looks: Any
) -> None:
    points: dict[float, list[float]] = {}
    for outcome in outcomes:
        found = value(outcome) if outcome.diverged is None else None
        if found is not None and math.isfinite(found):
            points.setdefault(place(outcome), []).append(found)
    if not points:
        return
    xs = sorted(points)
    means = [s.mean for x in xs if (s := spread(points[x])) is not None]
    panel.plot(xs, means, marker="o", markersize=3.5, label=label or None, **looks)
    if any(len(points[x]) > 1 for x in xs):
        low, high = ([end(points[x]) for x in xs] for end in (min, max))
        panel.fill_between(xs, low, high, color=looks["color"], alpha=0.15, linewidth=0)
