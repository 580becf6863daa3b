"""What the page's charts draw: an experiment's runs and learning curves as numbers, for the script in the browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from regtorch.app.record.axes import AXES, STRENGTHS
from regtorch.app.record.run_record import RunRecord
from regtorch.app.report.chart_curves import lines_of
from regtorch.app.report.entry import Entry
from regtorch.app.report.experiments import Experiment
from regtorch.app.report.links import Address
from regtorch.plot.fences import fence
from regtorch.plot.labels import label_of_metric

__all__ = ["chart_of", "rounded"]

_OF_RECORDS: dict[str, Callable[[RunRecord], float | None]] = {
    "zeros among the regularized weights": lambda record: record.regularized.sparsity,
    "norm of the regularized weights": lambda record: record.regularized.norm,
    "penalty before training": lambda record: record.regularized.initial_penalty,
    "epochs": lambda record: record.epochs,
    "time, s": lambda record: record.seconds,
}
_LARGEST = 2**53  # whole numbers are exact up to here, in the browser too
Axis = dict[str, Any]


def chart_of(experiment: Experiment, section: str, address: Address, points: int) -> dict[str, Any]:
    """The chart of an experiment, as JSON.

    Args:
        experiment: what is drawn.
        section: the id of its section; the rows of its table, which name the settings, have the ids `{section}-s0`, ….
        address: the address of a run's folder.
        points: at most as many numbers in all learning curves.
    """
    entries = [entry for setting in experiment.settings for entry in setting.entries]
    owner = [number for number, setting in enumerate(experiment.settings) for _ in setting.entries]
    axes = list(_axes(experiment, entries))
    best = next(number for number, axis in enumerate(axes) if axis["label"] == _best(experiment))
    x = next((number for number in range(len(axes)) if number != best), best)  # settings come first, then the seed
    return {
        "section": section,
        "factors": [_factor(experiment, key) for key in experiment.varied],
        "runs": {"setting": owner, "name": [e.name for e in entries], "href": [address(e.run.folder) for e in entries]},
        "axes": axes,
        "x": x,
        "y": best,
        "curves": lines_of(experiment, points),
    }


def rounded(value: float | None, digits: int = 6) -> float | str | None:
    """A number for JSON, which knows neither NaN nor infinity: those are "nan"; None is what is absent."""
    if value is None:
        return None
    return float(f"{value:.{digits}g}") if math.isfinite(value) else "nan"


def _best(experiment: Experiment) -> str:
    return f"{experiment.score_name}, best epoch"


def _factor(experiment: Experiment, key: str) -> dict[str, Any]:
    """A setting that varies: its values as text, by number, and the number of each setting's value."""
    own = [setting.entries[0].values.get(key) for setting in experiment.settings]
    values = sorted({value for value in own if value is not None}, key=_in_order)
    places = {value: place for place, value in enumerate(values)}
    return {"key": key, "values": values, "of": [None if value is None else places[value] for value in own]}


def _axes(experiment: Experiment, entries: Sequence[Entry]) -> Iterator[Axis]:
    """The axes that can be chosen: strengths, other settings that vary, the seed, and results."""
    strengths = [key for key in STRENGTHS if key in experiment.varied]
    for key in (*strengths, *(key for key in experiment.varied if key not in STRENGTHS)):
        label = f"{STRENGTHS[key].label} ({key})" if key in STRENGTHS else key
        texts = [entry.values.get(key) for entry in entries]
        numbers = [None if text is None else _number(text) for text in texts]
        if all((text is None) == (number is None) for text, number in zip(texts, numbers, strict=True)):
            yield _axis(label, numbers, factor=key, log=key in STRENGTHS and STRENGTHS[key].log)
        else:
            yield {"label": label, "factor": key, "named": True}  # by the numbers of the factor's values
    seeds = [entry.seed if entry.seed is None or abs(entry.seed) <= _LARGEST else None for entry in entries]
    if len(set(seeds)) > 1:
        yield {**_axis(AXES["seed"].label, seeds), "whole": True}
    yield _axis(_best(experiment), [entry.best(experiment.score) for entry in entries])
    for metric in _metrics(experiment, entries):
        values = [entry.run.final(metric) for entry in entries]
        if _some(values) and (any(values) or not metric.endswith("/penalty")):
            stage, _, name = metric.partition("/")
            yield _axis(f"{stage} {label_of_metric(name).replace('_', ' ')}, last epoch", values)
    gaps = [_gap(entry, experiment.metric) for entry in entries]
    if _some(gaps):
        yield _axis("gap: train − val", gaps)
    for label, of in _OF_RECORDS.items():
        values = [of(entry.run.record) for entry in entries]
        if any(values) and _some(values):
            yield _axis(label, values)


def _metrics(experiment: Experiment, entries: Sequence[Entry]) -> list[str]:
    """The metrics after the last epoch: those of the score first."""
    names = sorted({name for entry in entries for name in entry.run.record.final})
    stages = ("val/", "train/", "test/")
    found = [name for stage in stages for name in names if name.startswith(stage)]
    return sorted(found, key=lambda name: name.partition("/")[2] != experiment.metric)


def _axis(label: str, values: Sequence[float | None], *, factor: str = "", log: bool = False) -> Axis:
    """Values by run, whether the axis is logarithmic at first, and what it shows if single values are far away."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    axis: Axis = {"label": label, "values": [rounded(value) for value in values]}
    if factor:
        axis["factor"] = factor
    if log and any(value > 0 for value in finite) and min(finite) >= 0:
        axis["log"] = True
    for name, found in (("near", fence(finite)), ("nearLog", fence(finite, log=True))):
        if found is not None:
            axis[name] = [rounded(end) for end in found]
    return axis


def _gap(entry: Entry, metric: str) -> float | None:
    train, val = (entry.run.final(f"{stage}/{metric}") for stage in ("train", "val"))
    return None if train is None or val is None else train - val


def _some(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _in_order(text: str) -> tuple[bool, float, str]:
    """Numbers by size, then texts."""
    value = _number(text)
    return value is None, value or 0.0, text
