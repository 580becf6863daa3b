"""Learning curves for the chart in the browser: a line of means over seeds per setting and metric."""

from __future__ import annotations

from typing import Any

from regtorch.app.record.results import mean_curve
from regtorch.app.report.experiments import Experiment
from regtorch.plot.labels import label_of_metric

__all__ = ["lines_of"]

_STAGES = ("val", "train")
_MOST, _LEAST = 100, 8  # points of a line
_DIGITS = 4


def lines_of(experiment: Experiment, points: int) -> dict[str, Any]:
    """Lists of epochs, and the metrics, each with its lines: the setting, its epochs, and means (None: not finite).

    Settings and lists of epochs are given by their number, as most lines share them.

    Args:
        experiment: whose settings have a line each.
        points: at most as many in all lines together, as far as a line keeps eight.
    """
    names = [f"{stage}/{name}" for name in (experiment.metric, "task_loss", "penalty") for stage in _STAGES]
    each = max(_LEAST, min(_MOST, points // max(1, len(names) * len(experiment.settings))))
    found: list[dict[str, Any]] = []
    epochs: dict[tuple[int, ...], int] = {}
    for metric in names:
        stage, _, name = metric.partition("/")
        lines = []
        for number, setting in enumerate(experiment.settings):
            means = mean_curve(setting.runs, metric, each)
            if any(mean is not None for mean in means.values()):
                place = epochs.setdefault(tuple(means), len(epochs))
                lines.append([number, place, [_short(mean) for mean in means.values()]])
        if any(mean for _, _, means in lines for mean in means):
            found.append({"label": f"{stage} {label_of_metric(name).replace('_', ' ')}", "lines": lines})
    return {"epochs": list(epochs), "metrics": found}


def _short(mean: float | None) -> float | None:
    return None if mean is None else float(f"{mean:.{_DIGITS}g}")
