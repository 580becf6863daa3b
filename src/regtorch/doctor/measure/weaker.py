"""Find by trying how strong a penalty or a weight decay may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from math import floor, isfinite, log10

from regtorch.doctor.finding import fmt
from regtorch.doctor.measure.pull import Measured, Source
from regtorch.doctor.measure.tolerated import comes_as_low
from regtorch.doctor.observe.steps import WatchedSteps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.remedy import Remedy
from regtorch.penalties import Penalty
from regtorch.rule import Strengths

__all__ = ["scaled", "strength_of", "weaker"]

_TARGET = 0.05  # share of loss and gradient to aim at
_TRIES = 3  # each ten times weaker than the one before


def scaled(subject: Subject, weights: Sequence[str], part: float, *, decay: bool) -> Remedy:
    """The remedy that multiplies the penalties' strengths, or the weights' decay, by `part`."""
    if decay:
        decays = [subject.decays[name] for name in weights]
        groups = {decay.group for decay in decays}
        own = [] if groups == {decay.group for decay in subject.decays.values()} else sorted(groups)
        if (value := _single(decay.value for decay in decays)) is None:
            return Remedy("weight decay", weights, factor=part, groups=own)
        return Remedy("weight decay", weights, _rounded(value * part), groups=own)
    rules = [(scale, term.rule) for scale, term in subject.terms if term.rule.active and scale]
    value = strength_of(subject)
    if value is not None:
        _, rule = rules[0]
        new = _rounded(value * part)
        return Remedy("strength", weights, new, rules=[_of_strength(rule, new)])
    scalable = not subject.activities and all(rule.strengths for _, rule in rules)
    lower = [rule.scaled(scale * part) for scale, rule in rules] if scalable else []
    return Remedy("strength", weights, factor=part, rules=lower)


def strength_of(subject: Subject) -> float | None:
    """The strength of the only penalty; None if there are several, or it has other strengths than `lam`."""
    rules = [(scale, term.rule) for scale, term in subject.terms if term.rule.active and scale]
    if len(rules) != 1 or subject.activities or list(rules[0][1].strengths) != ["lam"]:
        return None
    scale, rule = rules[0]
    return scale * rule.strengths["lam"]


def _single(values: Iterable[float]) -> float | None:
    distinct = {*values}
    return distinct.pop() if len(distinct) == 1 else None


def _of_strength(rule: Penalty, new: float) -> Penalty:
    """The rule with another strength, to the last digit where that is its field."""
    if type(rule).scaled is not Strengths.scaled:
        return rule.scaled(new / rule.strengths["lam"])
    changed = copy(rule)
    changed._set(lam=new)
    return changed


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def weaker(source: Source, measured: Measured) -> tuple[str, Remedy]:
    """A tried strength at which the source no longer outweighs the task: the advice and the remedy."""
    subject, decays = source.obs.subject, source.decay
    value = _single(subject.decays[name].value for name in source.weights) if decays else strength_of(subject)
    for part in _parts(value, measured):
        watched = source.at(part, source.obs.steps)
        if not _is_well(source, watched):
            continue
        times, tried = f"about {round(1 / part):,} times smaller", _tried(source, watched)
        remedy = scaled(subject, source.weights, part, decay=decays)
        if value is None:
            many = "weight decays" if decays else "strengths"
            return f"Use {many} that are {times} ({tried}).", remedy
        what = f"a weight_decay of {remedy.value:.0e}," if decays else "a strength that is"
        return f"Use {what} {times} ({tried}).", remedy
    smallest = min(_parts(value, measured), default=0.0)
    down_to = f" down to {round(1 / smallest):,} times smaller" if smallest else ""
    return (
        f"Remove {'the weight decay' if decays else 'the penalty'}, and see the other findings: no strength "
        f"tried{down_to} lets the task's loss fall as it does without it.",
        scaled(subject, source.weights, 0.0, decay=decays),
    )


def _parts(strength: float | None, measured: Measured) -> Iterator[float]:
    """Fractions of the strength to try, at which a single strength is a power of ten."""
    part = min(1.0, *(_TARGET / x if x else 1.0 for x in (measured.share, measured.ratio)))
    strength = 1.0 if strength is None else strength
    if not isfinite(strength):
        return
    power = floor(log10(strength * part)) if strength * part > 0 else floor(log10(strength)) - 1
    for tens in range(_TRIES):
        value = 10.0 ** (power - tens)
        if 0 < value < strength:
            yield value / strength


def _is_well(source: Source, watched: WatchedSteps) -> bool:
    measured = source.measured(watched)
    if measured is None or watched.diverged or measured.emptied or measured.severity:
        return False
    return comes_as_low(watched, source.without)


def _tried(source: Source, watched: WatchedSteps) -> str:
    reached, free = watched.last_task_loss, source.without.last_task_loss
    return f"tried: in {len(watched.steps)} steps the task's loss reaches {fmt(reached)}; without it {fmt(free)}"
