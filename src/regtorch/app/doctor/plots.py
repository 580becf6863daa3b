"""The plots of a diagnosis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from textwrap import shorten
from typing import TYPE_CHECKING

from regtorch.app.doctor.diagnosis import Diagnosis
from regtorch.doctor.causes import title_of
from regtorch.doctor.observe.steps import WatchedSteps
from regtorch.plot.panel import LOOKS, Axis, Guide, Panel, Series, look

if TYPE_CHECKING:
    from regtorch.app.doctor.proofs import Proof
    from regtorch.app.doctor.strength import Strength

__all__ = ["plots"]

_MOST = 6  # weights per plot
_POINTS = 40  # per training curve
_STEP = Axis("step", integers=True)


def plots(diagnosis: Diagnosis) -> Iterator[Panel]:
    """The panels with data."""
    trial, without = diagnosis.examination.with_rules, diagnosis.examination.without_penalties
    if trial is not None and trial.steps:
        yield _losses(trial, without)
        names = _strongest(trial)
        if names:
            yield _ratios(trial, names)
            yield _norms(trial, without, names)
    yield from map(_proof, diagnosis.proofs)
    if diagnosis.strength is not None and diagnosis.strength.tried:
        yield _strength(diagnosis.strength)


def _losses(trial: WatchedSteps, without: WatchedSteps | None) -> Panel:
    lines = {"task loss": [step.task_loss for step in trial.steps]}
    if without is not None and without is not trial:
        lines["task loss without the penalty"] = [step.task_loss for step in without.steps]
    penalty = [step.penalty for step in trial.steps]
    if any(penalty):
        lines["penalty"] = penalty
    text = "; ".join(f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in lines.items() if values)
    series = [_line(values, name, number) for number, (name, values) in enumerate(lines.items())]
    values = [value for line in lines.values() for value in line]
    y = Axis.fitting("loss", values) if min(values) > 0 else Axis("loss")
    return Panel("Loss over the watched steps", f"{len(trial.steps)} steps: {text}.", _STEP, y, series)


def _line(values: Sequence[float], label: str, number: int) -> Series:
    return Series(range(len(values)), values, label, look(number), marker=look(number).marker)


def _strongest(trial: WatchedSteps) -> list[str]:
    """The weights with the largest penalty gradients relative to the task's."""
    ratios = {name: fmean(_finite(_ratio(trial, name)) or [0.0]) for name in trial.steps[0].forces}
    return sorted(ratios, key=lambda name: -ratios[name])[:_MOST]


def _ratio(trial: WatchedSteps, name: str) -> list[float]:
    forces = [step.forces[name] for step in trial.steps]
    return [f.penalty / f.task if f.task else math.nan for f in forces]


def _ratios(trial: WatchedSteps, names: Sequence[str]) -> Panel:
    lines = {name: _ratio(trial, name) for name in names}
    means = {name: fmean(finite) for name, values in lines.items() if (finite := _finite(values))}
    text = "; ".join(f"{name} {mean:.2g} on average" for name, mean in means.items()) or "the task has no gradient"
    series = [_line(values, name, number) for number, (name, values) in enumerate(lines.items())]
    y = Axis("‖∇penalty‖ / ‖∇task‖", log=any(value > 0 for values in lines.values() for value in values))
    title = f"The penalty’s gradient over the task’s{_of(trial, names)}"
    return Panel(title, f"{text}.", _STEP, y, series, [Guide(1.0, label="as strong as the task")])


def _norms(trial: WatchedSteps, without: WatchedSteps | None, names: Sequence[str]) -> Panel:
    ends = {} if without is None or without is trial else without.norms
    parts: list[str] = []
    series: list[Series] = []
    for number, name in enumerate(names):
        norms = [*(step.forces[name].norm for step in trial.steps), trial.norms[name]]
        start = norms[0] or 1.0
        series.append(_line([norm / start for norm in norms], name, number))
        part = f"{name} from {norms[0]:.3g} to {norms[-1]:.3g}"
        if name in ends and without is not None:
            series.append(Series([len(without.steps)], [ends[name] / start], "", look(number), "", "ring"))
            part += f", {ends[name]:.3g} without the penalty"
        parts.append(part)
    rings = " (ring: without the penalty)" if ends else ""
    title = f"Norms of penalised weights{_of(trial, names)}{rings}"
    return Panel(title, f"{'; '.join(parts)}.", _STEP, Axis("norm, first = 1", low=0.0), series)


def _of(trial: WatchedSteps, names: Sequence[str]) -> str:
    count = len(trial.steps[0].forces)
    return f", the {len(names)} strongest of {count}" if count > len(names) else ""


def _proof(proof: Proof) -> Panel:
    outcomes = {"as is": proof.as_is, "without": proof.without, "with the change": proof.cured}
    trained = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    scores = "; ".join(f"{name} {outcome.score:.3f}" for name, outcome in trained.items())
    series = []
    for number, (name, outcome) in enumerate(trained.items()):
        label = shorten(f"{name}: {outcome.label}" if outcome.overrides else name, 48)
        series.append(Series(*_smooth(outcome.curve), label, look(number), marker=look(number).marker))
    title = f"Experiment: {title_of(proof.cause).lower()}, {proof.verdict}"
    return Panel(title, f"{proof.as_is.score_name}: {scores}.", _STEP, Axis("task loss"), series)


def _smooth(curve: Sequence[float]) -> tuple[list[int], list[float]]:
    """Means over consecutive parts of a long curve, and the steps where they end."""
    stretch = max(1, len(curve) // _POINTS)
    ends = list(range(stretch, len(curve) + 1, stretch))
    return ends, [fmean(curve[end - stretch : end]) for end in ends]


def _strength(strength: Strength) -> Panel:
    scores = {_lam(outcome.overrides): outcome.score for outcome in strength.tried}
    without = scores.pop(0.0, None)
    name = strength.tried[0].score_name
    guides = [] if without is None else [Guide(without, label="without the penalty")]
    if 0 < strength.low <= strength.high < math.inf:
        guides.append(Guide(strength.low, strength.high, "advised", upright=True))
    parts = [f"{lam:.2g} gives {score:.3f}" for lam, score in scores.items()]
    parts += [] if without is None else [f"none gives {without:.3f}"]
    text = f"{name}: {'; '.join(parts)}; advised from {' to '.join(strength.ends)}."
    series = [Series(list(scores), list(scores.values()), name, LOOKS[0], marker="o")] if scores else []
    return Panel("Strengths tried", text, Axis("reg.lam", log=bool(scores)), Axis(name), series, guides)


def _lam(overrides: Sequence[str]) -> float:
    """The strength set by overrides; the last one counts, as in Hydra."""
    return float([text.partition("=")[2] for text in overrides if text.startswith("reg.lam=")][-1])


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]
