"""The curves of a training: losses, accuracies and the rate, with the epochs at which findings begin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from regtorch.doctor.causes import title_of
from regtorch.doctor.history.history import History, Points
from regtorch.doctor.history.read import Reading, read_history
from regtorch.plot.canvas import axes_for, draw_panel
from regtorch.plot.panel import Axis, Guide, Panel, Series, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["history", "history_panels"]

_MARKED = ("overfitting", "diverges", "plateau", "underfitting", "rate_step", "best_by_luck")
"""Findings that begin within the training."""


def history(source: Any, ax: Axes | None = None, *, what: str | None = None) -> Axes:
    """Draw a curve of a training and of its validation, with the epochs at which `rt.read_history` finds something.

    Args:
        source: a reading, which `rt.read_history` returns, or what that reads: a run's folder, a log, Keras's History,
            a mapping of lists, ….
        ax: matplotlib's axes to draw on; None makes a figure.
        what: "loss", with the part without penalty dashed where it is known, "accuracy", or "learning rate" where it
            changes. None draws the first of these that there is.

    Returns:
        The axes.

    Raises:
        ValueError: the history has no such curve; or as by `rt.read_history`, which reads the source.
        TypeError: `ax` are no axes; or as by `rt.read_history`.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import regtorch as rt
        >>> curves = {"loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2]}
        >>> ax = rt.plot.history(rt.read_history(curves))
        >>> ax.get_ylabel(), [text.get_text() for text in ax.get_legend().get_texts()]
        ('loss', ['Overfitting', 'train', 'val'])
    """
    reading = source if isinstance(source, Reading) else read_history(source)
    panels = {panel.y.label: panel for panel in history_panels(reading)}
    if not panels:
        raise ValueError(f"plot.history: {reading.history.source} has no finite loss, accuracy or learning rate")
    if what is not None and what not in panels:
        raise ValueError(f"plot.history: what must be one of {', '.join(map(repr, panels))}, received {what!r}")
    return draw_panel(panels[what or next(iter(panels))], axes_for("plot.history", ax))


def history_panels(reading: Reading) -> Iterator[Panel]:
    """The panels with data."""
    history = reading.history
    guides = [
        Guide(finding.numbers["epoch"], label=title_of(finding.cause), upright=True)
        for finding in reading
        if finding.cause in _MARKED and "epoch" in finding.numbers
    ]
    x = Axis(history.unit, integers=True)
    dashed = list(_dashed(history))
    losses = [*_series(history, "loss"), *dashed]
    if losses:
        values = [value for series in losses for value in series.y]
        title = "Loss (solid) and its part without penalty (dashed)" if dashed else "Loss"
        yield Panel(title, _ends(history, "loss"), x, Axis.fitting("loss", values), losses, guides)
    accuracies = list(_series(history, "accuracy"))
    if accuracies:
        chance = [] if history.classes is None else [Guide(1 / history.classes, label="chance")]
        yield Panel("Accuracy", _ends(history, "accuracy"), x, Axis("accuracy"), accuracies, [*guides, *chance])
    rates = {epoch: rate for epoch, rate in history.lr.items() if math.isfinite(rate)}
    if len(set(rates.values())) > 1:
        line = Series(list(rates), list(rates.values()), "learning rate", look(2), "steps")
        text = f"From {next(iter(rates.values())):.3g} to {list(rates.values())[-1]:.3g}."
        yield Panel("Learning rate", text, x, Axis.fitting("learning rate", rates.values()), [line])


def _stages(history: History) -> list[tuple[str, Mapping[str, Points]]]:
    return [("train", history.train), ("val", history.val)]


def _series(history: History, name: str) -> Iterator[Series]:
    for number, (stage, series) in enumerate(_stages(history)):
        points = {epoch: value for epoch, value in series.get(name, {}).items() if math.isfinite(value)}
        if points:
            yield Series(list(points), list(points.values()), stage, look(number), marker=look(number).marker)


def _dashed(history: History) -> Iterator[Series]:
    for number, (_, series) in enumerate(_stages(history)):
        points = {epoch: value for epoch, value in series.get("task_loss", {}).items() if math.isfinite(value)}
        if points:
            yield Series(list(points), list(points.values()), "", look(number), "--")


def _ends(history: History, name: str) -> str:
    parts = []
    for stage, series in _stages(history):
        values = list(series.get(name, {}).values())
        if values:
            parts.append(f"{stage} from {values[0]:.4g} to {values[-1]:.4g}")
    return f"{len(history.epochs)} {history.unit}s: {'; '.join(parts)}."
