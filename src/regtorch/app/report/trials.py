"""Plots of a search: trials over time, importance of parameters, and values along each parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from regtorch.app.record.json_file import number
from regtorch.app.record.overrides import chosen
from regtorch.app.record.ranges import Range
from regtorch.app.record.ranking import tie_words
from regtorch.app.record.search import SearchRecord, TrialRecord
from regtorch.counted import counted
from regtorch.plot.panel import FAINT, LOOKS, Axis, Panel, Series

__all__ = ["trial_panels"]

_MOST = 4  # parameters that are plotted


def trial_panels(search: SearchRecord) -> Iterator[Panel]:
    """The panels that have data."""
    if not search.complete:
        return
    yield _over_time(search)
    if search.importance:
        yield _importance(search)
    for key in sorted(search.space, key=lambda key: (-search.importance.get(key, 0.0), key))[:_MOST]:
        yield _along(search, key)


def _over_time(search: SearchRecord) -> Panel:
    done, best = search.complete, search.best
    assert best is not None
    so_far = list(accumulate((trial.reached or 0.0 for trial in done), max if search.maximize else min))
    series = [
        *_trials(search, lambda trial: trial.number),
        Series([trial.number for trial in done], so_far, "best so far", LOOKS[1], "steps"),
    ]
    failed = [trial.number for trial in search.trials if trial.state == "fail"]
    if failed:
        series.append(Series(failed, failed, "failed", line="", marker="|"))
    counts = {state: sum(trial.state == state for trial in search.trials) for state in ("complete", "pruned", "fail")}
    words = {"complete": "complete", "pruned": "pruned", "fail": "failed"}
    states = ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count)
    tie = f", {tie_words(search.tied, 'trial')}" if search.tied else ""
    text = (
        f"{states}{_far(search)}; the best, trial {best.number}, has {search.monitor} {best.reached:.4g}{tie}; "
        f"the first complete one has {done[0].reached:.4g}."
    )
    return Panel("Trials", text, Axis("trial", integers=True), _values(search), series)


def _importance(search: SearchRecord) -> Panel:
    shares = dict(sorted(search.importance.items(), key=lambda item: (item[1], item[0])))
    text = "; ".join(f"{key} decides {share:.0%}" for key, share in reversed(shares.items()))
    bars = {key: 100 * share for key, share in shares.items()}
    x = Axis(f"share of the differences in {search.monitor}, %")
    return Panel("Importance of the parameters", f"{text}.", x, Axis(), bars=bars)


def _along(search: SearchRecord, key: str) -> Panel:
    space, best = search.space[key], search.best
    choices = [str(choice) for choice in space] if isinstance(space, list) else []
    assert best is not None

    def place(trial: TrialRecord) -> float | None:
        value = trial.parameters.get(key)
        if choices:
            return choices.index(str(value)) if str(value) in choices else None
        return number(value)

    series = _trials(search, place)
    if (at := place(best)) is not None and best.reached is not None:
        series.append(Series([at], [best.reached], "best", LOOKS[1], "", "ring"))
    text = f"The best trial has {chosen({key: best.parameters.get(key)})[0]}."
    found = Range.read(space)
    x = Axis(key, log=found is not None and found.log, names=choices)
    return Panel(f"Along {key}", text, x, _values(search), series)


def _values(search: SearchRecord) -> Axis:
    return Axis.fitting(search.monitor, _reached(search), fenced=True)


def _reached(search: SearchRecord) -> list[float]:
    return [trial.reached for trial in search.trials if trial.reached is not None]


def _far(search: SearchRecord) -> str:
    """How many values lie beyond the axis, in words."""
    near = _values(search).near
    far = 0 if near is None else sum(not near[0] <= value <= near[1] for value in _reached(search))
    return f", {counted(far, 'value')} far from the others at the edge" if far else ""


def _trials(search: SearchRecord, place: Callable[[TrialRecord], float | None]) -> list[Series]:
    """Complete trials as dots, pruned ones as crosses."""
    series = []
    for state, marker, look in (("complete", "o", LOOKS[0]), ("pruned", "x", FAINT)):
        found = [
            (at, trial.reached)
            for trial in search.trials
            if trial.state == state and trial.reached is not None and (at := place(trial)) is not None
        ]
        if found:
            series.append(Series([at for at, _ in found], [value for _, value in found], state, look, "", marker))
    return series
