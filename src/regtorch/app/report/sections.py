"""Contents of the page's sections on experiments and searches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regtorch.app.figures.drawing import write_pictures
from regtorch.app.ground.errors import sentence
from regtorch.app.record.axes import STRENGTHS
from regtorch.app.record.overrides import chosen
from regtorch.app.record.ranges import Range
from regtorch.app.record.ranking import tie_remark
from regtorch.app.record.search import SearchRecord
from regtorch.app.report.curves import coloured_by, curves
from regtorch.app.report.experiments import Experiment, Setting
from regtorch.app.report.read_search import Search
from regtorch.app.report.strengths import strengths_of, unset
from regtorch.app.report.trials import trial_panels
from regtorch.counted import counted
from regtorch.plot.labels import label_of_metric
from regtorch.plot.panel import Panel
from regtorch.spread import Spread, spread

__all__ = ["of_experiment", "of_search", "search_title"]

_CARDS = 3
_OF_CURVES = (
    "Solid: val; dashed: train; bands: one standard deviation over seeds. Train scores are taken during training, with "
    "dropout on and weights that still change: the gap train − val may be negative."
)
_SEQUENCE = "from low, dark on paper, to high"
Value = Callable[[Setting], Spread | None]


@dataclass(frozen=True)
class _Plots:
    """Panels with one legend, and the address of their pictures without its ending."""

    heading: str
    note: str
    panels: Sequence[Panel]
    name: str
    picture: str


def of_experiment(experiment: Experiment, name: str, pictures: Path) -> dict[str, Any]:
    """Best settings, plots along strengths, learning curves, and the table of all settings; `name` prefixes files."""
    scored = [s for s in experiment.settings if s.ranked_by is not None and s.ranked_by.count]
    return {
        "experiment": experiment,
        "best": scored[:_CARDS],
        "caution": _caution(experiment, scored) if scored else "",
        "beside_none": _beside_none(experiment, scored) if scored else "",
        "plots": list(_plots(experiment, name, pictures)),
        "columns": _columns(experiment),
    }


def _plots(experiment: Experiment, name: str, pictures: Path) -> Iterator[_Plots]:
    for strengths in strengths_of(experiment):
        title, axis = STRENGTHS[strengths.axis].label, strengths.axis
        note = f"Means after the last epoch in a band of one standard deviation over seeds; dotted: runs {unset(axis)}."
        picture = _drawn(strengths.panels, f"{name}-{axis}", f"{experiment.title}, {title}", pictures)
        yield _Plots(f"Along the {title}", note, strengths.panels, f"{name}-{axis}", picture)
    panels = curves(experiment)
    if panels:
        picture = _drawn(panels, f"{name}-curves", f"{experiment.title}, learning curves", pictures)
        key = coloured_by(experiment)
        colours = f"Colours: {STRENGTHS[key].label}, {_SEQUENCE}. " if key is not None else ""
        yield _Plots("Learning curves", colours + _OF_CURVES, panels, f"{name}-curves", picture)


def search_title(search: Search) -> str:
    """The title of a search."""
    return "Search" if search.name == "." else f"Search in {search.name}"


def of_search(search: SearchRecord, name: str, title: str, pictures: Path) -> dict[str, Any]:
    """The best trial, and the plots."""
    best = search.best
    parameters = {} if best is None else best.parameters
    panels = list(trial_panels(search))
    return {
        "search": search,
        "space": {key: _range(value) for key, value in search.space.items()},
        "left": sum(trial.state in ("running", "waiting") for trial in search.trials),
        "chosen": " ".join(chosen(parameters)),
        "tie": sentence(tie_remark(search.tied, "trial")),
        # The experiment's ranking may prefer another trial.
        "ranked_otherwise": search.monitor.rpartition("/")[2] not in ("accuracy", "r2", "score"),
        "plots": _Plots("", "", panels, name, _drawn(panels, name, title, pictures) if panels else ""),
    }


def _range(space: object) -> str:
    """A range or list of choices in words."""
    if isinstance(space, list):
        return f"among {', '.join(map(str, space))}"
    return str(Range.read(space) or space)


def _drawn(panels: Sequence[Panel], name: str, title: str, pictures: Path) -> str:
    """Write the pictures; their address relative to the page, without the ending."""
    write_pictures(panels, title, pictures / name)
    return f"{pictures.name}/{name}"


def _caution(experiment: Experiment, scored: Sequence[Setting]) -> str:
    """How settings are ranked, and how certain the ranking is."""
    first = scored[0].ranked_by
    assert first is not None
    parts = [f"By {experiment.score_name} after each run's best epoch, mean ± standard deviation over seeds."]
    if experiment.tied:
        parts.append(sentence(tie_remark(experiment.tied)))
    if experiment.alike:
        parts.append(
            f"{counted(experiment.alike, 'other')} with the same score in the digits shown; further ones decide."
        )
    if any(setting.diverged for setting in scored):
        parts.append("Settings of which a seed diverged come last.")
    parts += _epochs(experiment)
    if experiment.repeats:
        parts.append(f"{counted(experiment.repeats, 'run')} omitted as repeats of a setting and seed.")
    if first.count > 1:
        means = [s.ranked_by.mean for s in scored[1:] if s.ranked_by is not None]
        near = sum(mean >= first.mean - first.deviation for mean in means)
        if near:
            parts.append(f"{counted(near, 'other')} within one standard deviation of the best.")
    elif len(scored) > 1:
        parts.append("The first has a single seed: its lead may be chance.")
    return " ".join(parts)


def _beside_none(experiment: Experiment, scored: Sequence[Setting]) -> str:
    """The score of the first setting beside that of the same runs without a penalty, in words; empty without them."""
    pairs = experiment.beside_none[experiment.settings.index(scored[0])]
    if not pairs:
        return ""
    here, there, more = spread(a for a, _ in pairs), spread(b for _, b in pairs), spread(a - b for a, b in pairs)
    how = "one seed, which may be chance" if len(pairs) == 1 else f"over the {len(pairs)} seeds that both have"
    sign = "" if more is None or more.shown.startswith("-") else "+"
    return (
        f"The best setting against reg=none: {experiment.score_name} {here} instead of {there} ({sign}{more}), {how}."
    )


def _epochs(experiment: Experiment) -> list[str]:
    """A remark if trainings differ in length."""
    found = Counter(entry.resolved("trainer.max_epochs") for s in experiment.settings for entry in s.entries)
    known = {int(epochs): runs for epochs, runs in found.items() if epochs is not None and epochs.isdecimal()}
    if len(known) < 2:
        return []
    parts = ", ".join(f"{epochs} in {counted(known[epochs], 'run')}" for epochs in sorted(known))
    if len(known) > 4:
        parts = f"from {min(known)} to {max(known)}"
    return [f"Not all were trained equally long: trainer.max_epochs is {parts}."]


def _columns(experiment: Experiment) -> dict[str, list[Spread | None]]:
    columns: dict[str, Value] = {
        f"{experiment.score_name}, best epoch": lambda s: s.ranked_by,
        f"{experiment.score_name}, last": lambda s: s.last(experiment.score),
        "gap": lambda s: s.gap,
        "val task loss": lambda s: s.last("val/task_loss"),
        f"test {label_of_metric(experiment.metric)}": lambda s: s.last(f"test/{experiment.metric}"),
        "zeros": lambda s: s.over(lambda record: record.regularized.sparsity),
        "norm": lambda s: s.over(lambda record: record.regularized.norm),
    }
    values = {title: [value(s) for s in experiment.settings] for title, value in columns.items()}
    first, *others = values
    values = {
        first: values[first],
        "vs reg=none": experiment.against_none,
        **{title: values[title] for title in others},
    }
    values = {title: column for title, column in values.items() if any(v is not None for v in column)}
    if "zeros" in values and not any(v is not None and v.mean for v in values["zeros"]):
        del values["zeros"]
    return values
