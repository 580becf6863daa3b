"""Find by trying how strong a penalty or a weight decay may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Literal

from regtorch.doctor.finding import fmt
from regtorch.doctor.measure.pull import Measured, Source
from regtorch.doctor.measure.tolerated import comes_as_low
from regtorch.doctor.remedy import Remedy
from regtorch.doctor.watch.steps import WatchedSteps
from regtorch.penalties import Penalty

__all__ = ["weaker"]

_TARGET = 0.05  # share of loss and gradient to aim at
_TRIES = 3  # each ten times weaker than the one before


@dataclass(frozen=True)
class _Strength:
    """A single strength to weaken, or several (`value` is None)."""

    what: Literal["strength", "weight decay"]
    weights: Sequence[str]
    value: float | None = None
    rule: Penalty | None = None

    def at(self, value: float | None) -> Remedy:
        """The change to another strength; without a number if there are several."""
        if self.value is None or value is None:
            return Remedy(self.what, self.weights)
        rule = self.rule.scaled(value / self.rule.strengths["lam"]) if self.rule is not None and value else None
        return Remedy(self.what, self.weights, value, rule)


def weaker(source: Source, measured: Measured) -> tuple[str, Remedy]:
    """A tried strength at which the source no longer outweighs the task: the advice and the remedy."""
    strength = _strength(source)
    for part in _parts(strength.value, measured):
        watched = source.at(part, source.obs.steps)
        if not _is_well(source, watched):
            continue
        times, tried = f"about {round(1 / part):,} times smaller", _tried(source, watched)
        if strength.value is None:
            many = "weight decays" if source.decay else "strengths"
            return f"Use {many} that are {times} ({tried}).", strength.at(None)
        new = float(f"{strength.value * part:.0e}")
        what = f"a weight_decay of {new:.0e}," if source.decay else "a strength that is"
        return f"Use {what} {times} ({tried}).", strength.at(new)
    smallest = min(_parts(strength.value, measured), default=0.0)
    down_to = f" down to {round(1 / smallest):,} times smaller" if smallest else ""
    return (
        f"Remove {'the weight decay' if source.decay else 'the penalty'}, and see the other findings: no strength "
        f"tried{down_to} lets the task's loss fall as it does without it.",
        strength.at(0.0),
    )


def _strength(source: Source) -> _Strength:
    subject = source.obs.subject
    if source.decay:
        values = {subject.decays[name].value for name in source.weights}
        return _Strength("weight decay", source.weights, values.pop() if len(values) == 1 else None)
    rules = [(factor, term.rule) for factor, term in subject.terms if term.rule.active]
    lams = [factor * rule.strengths.get("lam", 0.0) for factor, rule in rules]
    if len(lams) == 1 and lams[0]:
        return _Strength("strength", source.weights, lams[0], rules[0][1])
    return _Strength("strength", source.weights)


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
