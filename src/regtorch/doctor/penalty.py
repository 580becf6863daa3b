"""Whether a penalty outweighs the task: by its share of the loss, its share of the gradient, and what it does."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, Severity, Unfit, listed
from regtorch.doctor.reach import unreached
from regtorch.doctor.scale import HIDDEN
from regtorch.doctor.start import loss_of_zeros, starts_large
from regtorch.doctor.trial import Step, Trial

__all__ = ["Pull", "find", "pulls"]

_COLLAPSED = 0.5  # of the norm it would have without the penalty, after the few watched steps
_RULES = 0.3  # of the task's gradient
_SOON, _LATE = 300, 10_000  # steps to half the norm: within a training's first epochs, and hardly within a training
_STAYS = 0.8  # of its norm, for a weight that is near its equilibrium
_LEARNT, _HARM = 0.5, 0.05  # of the loss of outputs with other samples' targets: a loss that is learnt, a harm
_HEALTHY = 0.05  # share of loss and gradient that the advised strength aims at


@dataclass(frozen=True)
class Pull:
    """What the penalties do to one weight in the watched steps.

    Attributes:
        ratio: the penalties' gradient over the task's, mean over the steps.
        ruled: the share of coordinates in which the penalties' gradient is the larger, mean over the steps.
        cosine: between the two, mean over the steps; 0 where there is none.
        norm: before the first step.
        after: after the last.
        without: after the last, without the penalties.
        shrink: the share of its norm that it loses in a step to the penalties alone.
        equilibrium: the norm at which the growth without penalties and that shrinking meet; infinite without shrinking.
    """

    ratio: float
    ruled: float
    cosine: float
    norm: float
    after: float
    without: float
    shrink: float
    equilibrium: float

    @property
    def half_life(self) -> float:
        """Steps until the penalties alone have halved the norm."""
        return math.log(0.5) / math.log1p(-self.shrink) if 0 < self.shrink < 1 else (0.0 if self.shrink else math.inf)


def pulls(exam: Exam) -> dict[str, Pull]:
    """What the penalties do to each penalised weight that the loss reaches; none where it is not finite at once."""
    if not exam.with_rules.steps or not exam.without_penalties.steps:
        return {}
    alone = unreached(exam)
    names = (name for name in exam.patient.penalised if name not in alone)
    return {name: _pull(exam.with_rules, exam.without_penalties, name) for name in names}


def _pull(with_rules: Trial, without: Trial, name: str) -> Pull:
    forces = [step.forces[name] for step in with_rules.steps]
    steps = min(len(with_rules.steps), len(without.steps))
    before, after, free = forces[0].norm, with_rules.norms[name], without.norms[name]
    shrink = max(0.0, 1 - (after / free) ** (1 / steps)) if free > after > 0 else float(free > after)
    growth = (free - before) / steps
    cosines = [f.cosine for f in forces if math.isfinite(f.cosine)]
    return Pull(
        ratio=fmean(f.penalty / f.task if f.task else (math.inf if f.penalty else 0.0) for f in forces),
        ruled=fmean(f.ruled for f in forces),
        cosine=fmean(cosines) if cosines else 0.0,
        norm=before,
        after=after,
        without=free,
        shrink=shrink,
        equilibrium=max(0.0, growth / shrink) if shrink else math.inf,
    )


def find(exam: Exam) -> Iterator[Finding]:
    """`collapse` where penalties empty a weight within the watched steps, `penalty_dominates` where they outweigh."""
    found = pulls(exam)
    if not found:
        return
    steps = exam.with_rules.steps
    shares = [_share(step, found) for step in steps]
    total = {
        what: math.sqrt(sum(getattr(step.forces[name], what) ** 2 for step in steps for name in found))
        for what in ("penalty", "task")
    }
    ratio = total["penalty"] / total["task"] if total["task"] else math.inf
    worst = max(found, key=lambda name: sum(step.forces[name].penalty for step in steps))
    sizes = {name: p.numel() for name, p in exam.patient.penalised.items() if name in found}
    numbers = {
        "share_of_loss_at_start": shares[0],
        "share_of_loss": fmean(shares),
        "gradient_ratio": ratio,
        "half_life_in_steps": found[worst].half_life,
        "norm": found[worst].norm,
        "norm_after": found[worst].after,
        "norm_without_penalty": found[worst].without,
        "norm_at_equilibrium": found[worst].equilibrium,
        "share_hidden_by_norm": sum(n for name, n in sizes.items() if exam.scale_changes.get(name, 1.0) < HIDDEN)
        / sum(sizes.values()),
    }
    emptied = [name for name, pull in found.items() if pull.after < _COLLAPSED * pull.without]
    change, override = _weaker(exam, fmean(shares), ratio)
    if emptied:
        yield Finding(
            "collapse",
            listed(emptied),
            "severe",
            numbers,
            why=f"In {len(steps)} steps the penalty takes more than half of the norm of {len(emptied)} of "
            f"{len(found)} weights, so that hardly anything of the input gets through them.",
            change=change,
            override=override,
            blame=2.0,
        )
    severity = _severity(shares[0], fmean(shares), ratio, found[worst].half_life)
    if severity is None or emptied or _is_borne(exam, found[worst]):
        return
    if ratio < _RULES and found[worst].cosine > 0 and starts_large(exam):
        yield _wanted(exam, worst, numbers)
    else:
        yield Finding(
            "penalty_dominates",
            worst,
            severity,
            numbers,
            why=f"The penalty is {fmean(shares):.2g} of the loss and its gradient {ratio:.2g} times the task's; "
            f"by itself it halves the norm of {worst} in {found[worst].half_life:.3g} steps.",
            change=change,
            override=override,
            blame=1.0,
        )


def _wanted(exam: Exam, worst: str, numbers: dict[str, float]) -> Finding:
    """The penalty is large as the weights start so, and takes from them what the task takes as well."""
    loss, of_zeros = exam.with_rules.steps[0].task_loss, loss_of_zeros(exam)
    return Finding(
        "penalty_dominates",
        worst,
        "info",
        {**numbers, "loss_of_outputs_of_0": of_zeros},
        why=f"The penalty is {numbers['share_of_loss']:.2g} of the loss, as the weights start large: the task's loss "
        f"is {loss:.3g} at first, and {of_zeros:.3g} with outputs of 0. Smaller weights are what the task wants too.",
        change="Nothing for the penalty; weights that start smaller (Glorot, He) need not be taken down first.",
    )


def _share(step: Step, names: Collection[str]) -> float:
    penalty = sum(step.penalties.get(name, 0.0) for name in names)
    return penalty / total if (total := penalty + abs(step.task_loss)) else 0.0


def _severity(share_at_start: float, share: float, ratio: float, half_life: float) -> Severity | None:
    # A share that is large in the mean alone is so because the task's loss falls: it is learnt under the penalty.
    if ratio >= _RULES or (min(share_at_start, share) >= 0.5 and half_life <= _SOON):
        return "severe"
    return "warning" if max(ratio / 0.1, share / 0.2) >= 1 and half_life <= _LATE else None


def _is_borne(exam: Exam, pull: Pull) -> bool:
    """Whether a net that has learnt keeps what it has learnt under its penalties.

    Its task loss and gradient are next to 0, so that any penalty is large beside them. What tells is whether the
    weights stay: they grow without the penalties by as much as those take, or are hardly taken from.
    """
    if pull.half_life <= _LATE and pull.equilibrium < _STAYS * pull.norm:
        return False
    paired, unrelated = _losses(exam)
    quarter = slice(-max(1, exam.steps // 4), None)
    harm = exam.with_rules.mean_task_loss(quarter) - exam.without_penalties.mean_task_loss(quarter)
    return 0 <= paired < _LEARNT * unrelated and harm < _HARM * unrelated


def _losses(exam: Exam) -> tuple[float, float]:
    """The loss of the outputs with their targets, and with those of other samples."""
    found: list[tuple[float, float]] = []
    with torch.no_grad():
        for output, (_, y) in zip(exam.outputs, exam.patient.batches, strict=False):
            if isinstance(output, Tensor) and output.ndim and len(output) > 1:
                other = output.roll(1 + len(output) // 2, 0)
                try:
                    found.append((float(exam.patient.task_loss(output, y)), float(exam.patient.task_loss(other, y))))
                except Unfit:
                    continue
    return (fmean(a for a, _ in found), fmean(b for _, b in found)) if found else (math.nan, math.nan)


def _weaker(exam: Exam, share: float, ratio: float) -> tuple[str, str]:
    """A strength under which the penalty would be a small part of the loss and of the gradient, as a power of ten."""
    strengths = [factor * getattr(term.rule, "lam", 0.0) for factor, term in exam.patient.terms if term.rule.active]
    if len(strengths) != 1 or not strengths[0]:
        return "Take much smaller strengths.", ""
    part = min(1.0, _HEALTHY / share if share else 1.0, _HEALTHY / ratio if ratio else 1.0)
    lam = 10.0 ** math.floor(math.log10(strengths[0] * part)) if part < 1 else strengths[0]
    return f"Take a strength that is about {round(strengths[0] / lam):,} times smaller.", f"reg.lam={lam:.0e}"
