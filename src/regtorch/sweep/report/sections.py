"""The page's sections about what was trained: an experiment's settings, paths and curves, and a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from regtorch.app.record.axes import STRENGTHS
from regtorch.app.record.ranges import Range
from regtorch.app.record.spread import Spread
from regtorch.sweep.report.curves import BEST, curves
from regtorch.sweep.report.markup import Cell, code, command, count, details, figures, legend, lines, prose, table
from regtorch.sweep.report.panel import Panel, picture
from regtorch.sweep.report.read_search import Search
from regtorch.sweep.report.settings import Experiment, Setting
from regtorch.sweep.report.strengths import strengths_of, unset
from regtorch.sweep.report.trials import SIGNS, trial_panels

__all__ = ["of_experiment", "of_search", "search_title"]

_CARDS = 3
_OPEN = 25  # rows of a table that is not folded
Value = Callable[[Setting], Spread | None]


def of_experiment(experiment: Experiment, name: str, pictures: Path) -> Iterator[str]:
    """Best settings, the regularization path, learning curves, and all settings.

    Args:
        experiment: what was compared.
        name: begins the names of its pictures.
        pictures: the folder that they go to.
    """
    yield "<h3>Best settings</h3>"
    yield from _best(experiment)
    for strengths in strengths_of(experiment):
        yield f"<h3>Along the {prose(STRENGTHS[strengths.axis].label)}</h3>"
        dotted = f"dotted: runs {unset(strengths.axis)}"
        note = f"Means after the last epoch in a band of one standard deviation over seeds; {dotted}."
        shown = [] if strengths.lines == ["all"] else strengths.lines
        yield lines(shown, strengths.others, note)
        yield _drawn(
            strengths.panels,
            f"{name}-{strengths.axis}",
            f"{experiment.title}, {STRENGTHS[strengths.axis].label}",
            pictures,
        )
    panels = curves(experiment)
    if panels:
        yield "<h3>Learning curves</h3>"
        labels = [s.label for s in experiment.settings if any(run.epochs for run in s.runs)]
        note = (
            "Solid: val; dashed: train; bands: one standard deviation over seeds. Train scores are taken during "
            "training, with dropout on and weights that still change: the gap train − val may be negative."
        )
        yield lines(labels[:BEST], len(labels[BEST:]), note)
        yield _drawn(panels, f"{name}-curves", f"{experiment.title}, learning curves", pictures)
    yield "<h3>All settings</h3>"
    yield _all(experiment)


def search_title(search: Search) -> str:
    """A search's name on the page."""
    return "Search" if search.name == "." else f"Search in {search.name}"


def of_search(search: Search, name: str, pictures: Path) -> Iterator[str]:
    """The best trial, and the plots; arguments as above."""
    best = search.best
    states = {state: sum(trial.state == state for trial in search.trials) for state in ("running", "waiting")}
    left = sum(states.values())
    more = "more" if search.maximize else "less"
    space = ", ".join(f"{code(key)} {prose(_range(value))}" for key, value in search.space.items())
    yield f"<p>Searched: {space}. Of {code(search.monitor)}, {more} is better.</p>"
    if left:
        yield f"<p>{count(left, 'trial')} not done when this was written; the same search.py command goes on.</p>"
    if best is None:
        yield "<p>No trial has a value.</p>"
        return
    chosen = " ".join(f"{k}={f'{v:.4g}' if isinstance(v, float) else v}" for k, v in best.parameters.items())
    equal = sum(trial.value == best.value for trial in search.complete) - 1
    tied = f", tied with {count(equal, 'other')}" if equal else ""
    yield (
        f"<p>Best by {code(search.monitor)}, the search’s monitor: trial {best.number}, {code(chosen)}, with "
        f"<b>{best.value:.4g}</b>{tied}.</p>"
    )
    if search.monitor.rpartition("/")[2] not in ("accuracy", "r2", "score"):
        yield '<p class="note">This search ranks by its monitor; best settings are ranked by their score.</p>'
    if search.command:
        yield command(search.command)
    yield legend(SIGNS)
    title = search_title(search)
    yield _drawn(list(trial_panels(search)), name, title, pictures)


def _range(space: object) -> str:
    """A range of a search, log:1e-6:1 or a list of choices, in words."""
    if isinstance(space, list):
        return f"among {', '.join(map(str, space))}"
    return str(Range.read(space) or space)


def _drawn(panels: Sequence[Panel], name: str, title: str, pictures: Path) -> str:
    path = pictures / f"{name}.png"
    picture(panels, title, path)
    link = f"{pictures.name}/{path.name}"
    return f'{figures(panels, name)}\n<p class="note screen">As a picture: <a href="{link}">{link}</a></p>'


def _best(experiment: Experiment) -> Iterator[str]:
    scored = [s for s in experiment.settings if s.ranked_by is not None and s.ranked_by.count]
    if not scored:
        yield "<p>No run has a finite score.</p>"
        return
    yield f'<p class="note">{prose(_caution(experiment, scored))}</p>\n<ol class="best">'
    for setting in scored[:_CARDS]:
        yield (
            f"<li><p>{code(setting.label)}<br>{prose(experiment.score_name)} <b>{prose(str(setting.ranked_by))}</b> "
            f"({count(len(setting.entries), 'seed')})</p>\n{command(setting.command)}</li>"
        )
    yield "</ol>"


def _caution(experiment: Experiment, scored: Sequence[Setting]) -> str:
    """How the order is meant, and how sure it is."""
    first = scored[0].ranked_by
    assert first is not None
    told = [f"By {experiment.score_name} after each run's best epoch, mean ± standard deviation over seeds."]
    if experiment.tied:
        stage = experiment.score.partition("/")[0]
        others = count(experiment.tied, "other")
        told.append(f"The first is tied with {others}: of equal scores, that of less {stage} task loss leads.")
    told += _epochs(experiment)
    if experiment.repeats:
        told.append(f"{count(experiment.repeats, 'run')} with the setting and seed of another one left out.")
    if first.count > 1:
        means = [s.ranked_by.mean for s in scored[1:] if s.ranked_by is not None]
        near = sum(mean >= first.mean - first.deviation for mean in means)
        if near:
            told.append(f"{count(near, 'other')} within one standard deviation of the best.")
    elif len(scored) > 1:
        told.append("The first has one seed alone: its lead may be chance.")
    return " ".join(told)


def _epochs(experiment: Experiment) -> list[str]:
    """A remark where not all were trained equally long."""
    found = Counter(entry.resolved("trainer.max_epochs") for s in experiment.settings for entry in s.entries)
    known = {int(epochs): runs for epochs, runs in found.items() if epochs is not None and epochs.isdecimal()}
    if len(known) < 2:
        return []
    told = ", ".join(f"{epochs} in {count(known[epochs], 'run')}" for epochs in sorted(known))
    if len(known) > 4:
        told = f"from {min(known)} to {max(known)}"
    return [f"Not all were trained equally long: trainer.max_epochs is {told}."]


def _all(experiment: Experiment) -> str:
    score = experiment.score.partition("/")[2]
    shown = experiment.score_name.partition(" ")[2]
    columns: dict[str, Value] = {
        f"{experiment.score_name}, best epoch": lambda s: s.ranked_by,
        f"{experiment.score_name}, last": lambda s: s.last(experiment.score),
        "gap": lambda s: s.gap,
        "val task loss": lambda s: s.last("val/task_loss"),
        f"test {shown}": lambda s: s.last(f"test/{score}"),
        "zeros": lambda s: s.over(lambda record: record.regularized.sparsity),
        "norm": lambda s: s.over(lambda record: record.regularized.norm),
    }
    values = {title: [value(s) for s in experiment.settings] for title, value in columns.items()}
    values = {title: column for title, column in values.items() if any(v is not None for v in column)}
    if "zeros" in values and not any(v is not None and v.mean for v in values["zeros"]):
        del values["zeros"]
    rows = (
        (
            f"<details><summary>{code(s.label)}</summary>{code(s.command)}</details>",
            [Cell(str(len(s.entries)), len(s.entries)), *(Cell.of(column[n]) for column in values.values())],
        )
        for n, s in enumerate(experiment.settings)
    )
    total = len(experiment.settings)
    caption = "Means ± standard deviations over seeds. A setting opens to the command that runs it again."
    body = table(caption, ["setting", "seeds", *values], rows, sorted_by=2)
    return body if total <= _OPEN else details(f"{count(total, 'setting')} in a table", body, kind="wide")
