"""The plots of a search: what decides, the trials over time, and the value along each parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from textwrap import shorten
from typing import Any

from regtorch.app.record.json_file import number
from regtorch.app.record.ranges import Range
from regtorch.sweep.drawing import tidy
from regtorch.sweep.report.curves import log_if_far
from regtorch.sweep.report.panel import FAINT, LOOKS, Panel, plain
from regtorch.sweep.report.read_search import Search, Trial

__all__ = ["SIGNS", "trial_panels"]

_MOST = 4  # parameters with a plot of their own
_LONGEST = 24  # characters of a parameter's name
_DONE, _BEST, _OTHER = LOOKS[0].colour, LOOKS[1].colour, FAINT
SIGNS = (
    ("●", LOOKS[0].variable, "complete"),
    ("×", "--faint", "pruned"),
    ("|", "--faint", "failed"),
    ("―", LOOKS[1].variable, "best so far"),
    ("○", LOOKS[1].variable, "best"),
)
"""What the plots' signs mean: the sign, its colour in the page's style sheet, and the words."""


def trial_panels(search: Search) -> Iterator[Panel]:
    """All that there is to draw of a search."""
    if not search.complete:
        return
    yield _over_time(search)
    if search.importance:
        yield _importance(search)
    for key in sorted(search.space, key=lambda key: (-search.importance.get(key, 0.0), key))[:_MOST]:
        yield _along(search, key)


def _over_time(search: Search) -> Panel:
    done = search.complete
    pick = max if search.maximize else min
    best = list(accumulate((trial.value or 0.0 for trial in done), pick))
    winner = search.best
    assert winner is not None

    def draw(axes: Any) -> None:
        _scatter(axes, search, [trial.number for trial in search.trials])
        axes.step([t.number for t in done], best, where="post", color=_BEST, label="best so far")
        failed = [trial.number for trial in search.trials if trial.state == "fail"]
        if failed:
            transform = axes.get_xaxis_transform()
            axes.plot(failed, [0.02] * len(failed), "|", color=FAINT, label="failed", transform=transform)
        axes.set(xlabel="trial", ylabel=plain(search.monitor))
        tidy(axes, whole_x=True)

    counts = {state: sum(trial.state == state for trial in search.trials) for state in ("complete", "pruned", "fail")}
    words = {"complete": "complete", "pruned": "pruned", "fail": "failed"}
    told = ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count)
    first = f"the first complete one has {done[0].value:.4g}"
    return Panel(
        "Trials", f"{told}; the best, trial {winner.number}, has {search.monitor} {winner.value:.4g}; {first}.", draw
    )


def _importance(search: Search) -> Panel:
    shares = dict(sorted(search.importance.items(), key=lambda item: (item[1], item[0])))

    def draw(axes: Any) -> None:
        places = range(len(shares))
        bars = axes.barh(places, [100 * share for share in shares.values()], color=_DONE, height=0.6)
        axes.set_yticks(places, [plain(shorten(key, _LONGEST)) for key in shares])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
        axes.set(xlabel=f"share of the differences in {plain(search.monitor)}, %", xlim=(0, 115))
        tidy(axes)

    told = "; ".join(f"{key} decides {share:.0%}" for key, share in reversed(shares.items()))
    longest = min(_LONGEST, max(map(len, shares)))
    return Panel("Importance of the parameters", f"{told}.", draw, left=0.05 + 0.017 * longest)


def _along(search: Search, key: str) -> Panel:
    space = search.space[key]
    choices = [str(choice) for choice in space] if isinstance(space, list) else None
    found_range = Range.read(space)
    log = found_range is not None and found_range.log
    winner = search.best
    assert winner is not None

    def place(trial: Trial) -> float | None:
        value = trial.parameters.get(key)
        if choices is not None:
            return choices.index(str(value)) if str(value) in choices else None
        return number(value)

    def draw(axes: Any) -> None:
        _scatter(axes, search, [place(trial) for trial in search.trials])
        if (found := place(winner)) is not None:
            axes.plot([found], [winner.value], "o", color=_BEST, fillstyle="none", markersize=9, label="best")
        if log:
            axes.set_xscale("log")
        if choices is not None:
            axes.set_xticks(range(len(choices)), [plain(shorten(choice, 16)) for choice in choices])
            axes.set_xlim(-0.5, len(choices) - 0.5)
        axes.set(xlabel=plain(key), ylabel=plain(search.monitor))
        tidy(axes)

    value = winner.parameters.get(key)
    told = f"{value:.4g}" if isinstance(value, float) else str(value)
    return Panel(f"Along {key}", f"The best trial has {key}={told}.", draw)


def _scatter(axes: Any, search: Search, places: Sequence[Any]) -> None:
    """Complete trials as dots, pruned ones as crosses."""
    for state, marker, colour in (("pruned", "x", _OTHER), ("complete", "o", _DONE)):
        found = [
            (place, trial.value)
            for place, trial in zip(places, search.trials, strict=True)
            if trial.state == state and trial.value is not None and place is not None
        ]
        if found:
            axes.plot(*zip(*found, strict=True), marker, color=colour, markersize=4, label=state)
    log_if_far(axes, [trial.value for trial in search.trials if trial.value is not None])
