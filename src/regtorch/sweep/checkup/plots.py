"""The check-up's plots, as inline SVG with a text for those who cannot see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import fmean
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from regtorch.doctor.watch.steps import WatchedSteps
from regtorch.sweep.checkup.result import Checkup
from regtorch.sweep.checkup.words import in_words
from regtorch.sweep.drawing import COLOURS, svg_element, tidy

if TYPE_CHECKING:
    from regtorch.sweep.checkup.cure import Proof
    from regtorch.sweep.checkup.strength import Strength

__all__ = ["Plot", "plots"]

_MOST = 6  # weights in one plot
_POINTS = 40  # of a training's curve


@dataclass(frozen=True)
class Plot:
    """A picture.

    Attributes:
        title: what it shows.
        text: what is to be seen, in words.
        svg: the element, whose label is the text.
    """

    title: str
    text: str
    svg: str


def plots(checkup: Checkup) -> Iterator[Plot]:
    """All that there is to draw of a check-up."""
    trial, without = checkup.examination.with_rules, checkup.examination.without_penalties
    if trial is not None and trial.steps:
        yield _losses(trial, without)
        names = _strongest(trial)
        if names:
            yield _ratios(trial, names)
            yield _norms(trial, without, names)
    for proof in checkup.proofs:
        yield _proof(proof)
    if checkup.strength is not None and checkup.strength.tried:
        yield _strength(checkup.strength)


def _losses(trial: WatchedSteps, without: WatchedSteps | None) -> Plot:
    lines = {"task loss": [step.task_loss for step in trial.steps]}
    if without is not None and without is not trial:
        lines["task loss without the penalty"] = [step.task_loss for step in without.steps]
    penalty = [step.penalty for step in trial.steps]
    if any(penalty):
        lines["penalty"] = penalty
    text = "; ".join(f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in lines.items() if values)

    def draw(axes: Any) -> None:
        for (name, values), colour, style in zip(lines.items(), COLOURS, ("-", "--", ":"), strict=False):
            axes.plot(range(len(values)), values, style, color=colour, label=name)
        positive = [value for values in lines.values() for value in values if value > 0]
        if positive and len(positive) == sum(map(len, lines.values())) and max(positive) > 20 * min(positive):
            axes.set_yscale("log")
        axes.set(xlabel="step", ylabel="loss")

    return _plot("Loss over the watched steps", f"{len(trial.steps)} steps: {text}.", draw)


def _strongest(trial: WatchedSteps) -> list[str]:
    """The weights that penalties pull the most at, beside the task."""
    ratios = {name: fmean(_finite(_ratio(trial, name)) or [0.0]) for name in trial.steps[0].forces}
    return sorted(ratios, key=lambda name: -ratios[name])[:_MOST]


def _ratio(trial: WatchedSteps, name: str) -> list[float]:
    forces = [step.forces[name] for step in trial.steps]
    return [f.penalty / f.task if f.task else math.nan for f in forces]


def _ratios(trial: WatchedSteps, names: Sequence[str]) -> Plot:
    lines = {name: _ratio(trial, name) for name in names}
    means = {name: fmean(finite) for name, values in lines.items() if (finite := _finite(values))}
    text = "; ".join(f"{name} {mean:.2g} on average" for name, mean in means.items()) or "the task has no gradient"

    def draw(axes: Any) -> None:
        for (name, values), colour in zip(lines.items(), cycle(COLOURS), strict=False):
            axes.plot(range(len(values)), values, color=colour, label=name)
        axes.axhline(1, color="0.4", linewidth=0.9, linestyle="--", label="as strong as the task")
        if any(value > 0 for values in lines.values() for value in values):
            axes.set_yscale("log")
        axes.set(xlabel="step", ylabel="‖∇penalty‖ / ‖∇task‖")

    return _plot(f"The penalty's gradient over the task's{_of(trial, names)}", f"{text}.", draw)


def _norms(trial: WatchedSteps, without: WatchedSteps | None, names: Sequence[str]) -> Plot:
    lines = {name: [*(step.forces[name].norm for step in trial.steps), trial.norms[name]] for name in names}
    ends = {} if without is None or without is trial else without.norms
    parts: list[str] = []
    for name, norms in lines.items():
        free = f", {ends[name]:.3g} without the penalty" if name in ends else ""
        parts.append(f"{name} from {norms[0]:.3g} to {norms[-1]:.3g}{free}")

    def draw(axes: Any) -> None:
        for (name, norms), colour in zip(lines.items(), cycle(COLOURS), strict=False):
            start = norms[0] or 1.0
            axes.plot(range(len(norms)), [norm / start for norm in norms], color=colour, label=name)
            if name in ends and without is not None:
                axes.plot(len(without.steps), ends[name] / start, "o", color=colour, fillstyle="none", clip_on=False)
        axes.set_ylim(bottom=0)
        axes.set(xlabel="step", ylabel="norm, first = 1")

    rings = " (ring: without the penalty)" if ends else ""
    return _plot(f"Norms of penalised weights{_of(trial, names)}{rings}", f"{'; '.join(parts)}.", draw)


def _of(trial: WatchedSteps, names: Sequence[str]) -> str:
    count = len(trial.steps[0].forces)
    return f", the {len(names)} strongest of {count}" if count > len(names) else ""


def _proof(proof: Proof) -> Plot:
    outcomes = {"as it is": proof.as_is, "without": proof.without, "with the change": proof.cured}
    made = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    scores = "; ".join(f"{name} {outcome.score:.3f}" for name, outcome in made.items())

    def draw(axes: Any) -> None:
        for (name, outcome), colour, style in zip(made.items(), COLOURS, ("-", "--", "-."), strict=False):
            of = f": {outcome.label}" if outcome.overrides else ""
            axes.plot(*_smooth(outcome.curve), style, color=colour, label=shorten(name + of, 48))
        axes.set(xlabel="step", ylabel="task loss")

    title = f"Experiment: {in_words(proof.cause).lower()}, {proof.verdict}"
    return _plot(title, f"{proof.as_is.score_name}: {scores}.", draw)


def _smooth(curve: Sequence[float]) -> tuple[list[int], list[float]]:
    """Means over stretches of a long curve, at their ends."""
    stretch = max(1, len(curve) // _POINTS)
    ends = list(range(stretch, len(curve) + 1, stretch))
    return ends, [fmean(curve[end - stretch : end]) for end in ends]


def _strength(strength: Strength) -> Plot:
    scores = {_lam(outcome.overrides): outcome.score for outcome in strength.tried}
    without = scores.pop(0.0, None)
    name = strength.tried[0].score_name
    bounded = 0 < strength.low <= strength.high < math.inf

    def draw(axes: Any) -> None:
        axes.plot(list(scores), list(scores.values()), color=COLOURS[0], marker="o", label=name)
        if without is not None:
            axes.axhline(without, color=COLOURS[1], linestyle="--", label="without the penalty")
        if bounded:
            axes.axvspan(strength.low, strength.high, color=COLOURS[2], alpha=0.2, linewidth=2, label="advised")
        if scores:
            axes.set_xscale("log")
        axes.set(xlabel="reg.lam", ylabel=name)

    parts = [f"{lam:.2g} gives {score:.3f}" for lam, score in scores.items()]
    parts += [] if without is None else [f"none gives {without:.3f}"]
    text = f"{name}: {'; '.join(parts)}; advised from {strength.low:.2g} to {strength.high:.2g}."
    return _plot("Strengths tried", text, draw)


def _lam(overrides: Sequence[str]) -> float:
    """The strength that overrides set, the last one as Hydra does."""
    return float([text.partition("=")[2] for text in overrides if text.startswith("reg.lam=")][-1])


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _plot(title: str, text: str, draw: Callable[[Any], None]) -> Plot:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # The salt keeps the ids of one page's plots apart.
    look: Any = {"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif", "font.size": 9}
    with rc_context(look):
        figure = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        tidy(axes, whole_x=axes.get_xscale() == "linear")
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                _label_between_decades(axis)
        handles, labels = axes.get_legend_handles_labels()
        longest = max(map(len, labels), default=0)
        figure.legend(handles, labels, loc="outside lower center", ncols=2 if longest < 24 else 1, frameon=False)
        return Plot(title, text, svg_element(figure, f"{title}. {text}"))


def _label_between_decades(axis: Any) -> None:
    """Also between the decades, where there are few."""
    from matplotlib.ticker import LogLocator

    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(lambda value, _: f"{value:g}")
