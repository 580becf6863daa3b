"""Whether a penalty outweighs the task: by its share of the loss, its share of the gradient, and what it does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, Severity, listed
from regtorch.doctor.scale import HIDDEN
from regtorch.doctor.trial import Trial

__all__ = ["Pull", "find", "pulls"]

_COLLAPSED = 0.5  # of the norm it would have without the penalty, after the few watched steps
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
    """What the penalties do to each penalised weight; none where the loss is no finite number at once."""
    if not exam.with_rules.steps or not exam.without_penalties.steps:
        return {}
    return {name: _pull(exam.with_rules, exam.without_penalties, name) for name in exam.patient.penalised}


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
    shares = [step.penalty / total if (total := step.penalty + abs(step.task_loss)) else 0.0 for step in steps]
    total = {
        what: math.sqrt(sum(getattr(step.forces[name], what) ** 2 for step in steps for name in found))
        for what in ("penalty", "task")
    }
    ratio = total["penalty"] / total["task"] if total["task"] else math.inf
    worst = max(found, key=lambda name: sum(step.forces[name].penalty for step in steps))
    sizes = {name: p.numel() for name, p in exam.patient.penalised.items()}
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
    severity = _severity(fmean(shares), ratio, found[worst].half_life)
    if severity is not None and not emptied:
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


def _severity(share: float, ratio: float, half_life: float) -> Severity | None:
    if ratio >= 0.3 or (share >= 0.5 and half_life <= 300):
        return "severe"
    return "warning" if share >= 0.2 or ratio >= 0.1 else None


def _weaker(exam: Exam, share: float, ratio: float) -> tuple[str, str]:
    """A strength under which the penalty would be a small part of the loss and of the gradient, as a power of ten."""
    strengths = [factor * getattr(term.rule, "lam", 0.0) for factor, term in exam.patient.terms if term.rule.active]
    if len(strengths) != 1 or not strengths[0]:
        return "Take much smaller strengths.", ""
    part = min(1.0, _HEALTHY / share if share else 1.0, _HEALTHY / ratio if ratio else 1.0)
    lam = 10.0 ** math.floor(math.log10(strengths[0] * part)) if part < 1 else strengths[0]
    return f"Take a smaller strength, such as {lam:.0e} in place of {strengths[0]:g}.", f"reg.lam={lam:.0e}"
