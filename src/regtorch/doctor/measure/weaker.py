"""How strong a penalty or a weight decay may be, found by trying."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, isfinite, log10
from typing import NamedTuple

from regtorch.doctor.finding import fmt
from regtorch.doctor.measure.pull import Measured, Source
from regtorch.doctor.measure.tolerated import comes_as_low
from regtorch.doctor.watch.steps import WatchedSteps

__all__ = ["weaker"]

_HEALTHY = 0.05  # share of loss and gradient that the advised strength aims at
_TRIES = 3  # each ten times weaker than the one before


class _Named(NamedTuple):
    value: float | None  # None where there are several
    many: str
    override: str


def weaker(source: Source, measured: Measured) -> tuple[str, str]:
    """A strength under which the source outweighs the task no more, as it was tried: the advice, and its override."""
    named = _named(source)
    for part in _parts(named.value, measured):
        watched = source.at(part, source.obs.steps)
        if not _is_well(source, watched):
            continue
        times, tried = f"about {round(1 / part):,} times smaller", _tried(source, watched)
        if named.value is None:
            return f"Take {named.many} that are {times} ({tried}).", ""
        new = f"{named.value * part:.0e}"
        what = f"a weight_decay of {new}," if source.decay else "a strength that is"
        return f"Take {what} {times} ({tried}).", f"{named.override}={new}"
    least = (
        f"{round(1 / part):,} times smaller" if (part := min(_parts(named.value, measured), default=0.0)) else "other"
    )
    return (
        f"Leave {'the weight decay' if source.decay else 'the penalty'} out, and look at the other findings: down to "
        f"{least}, no strength that was tried lets the task's loss fall as it does without it.",
        f"{named.override}=0" if named.value is not None else "",
    )


def _named(source: Source) -> _Named:
    subject = source.obs.subject
    if source.decay:
        values = {subject.decays[name].value for name in source.weights}
        return _Named(values.pop() if len(values) == 1 else None, "weight decays", "optimizer.weight_decay")
    values = [factor * getattr(term.rule, "lam", 0.0) for factor, term in subject.terms if term.rule.active]
    return _Named(values[0] if len(values) == 1 and values[0] else None, "strengths", "reg.lam")


def _parts(strength: float | None, measured: Measured) -> Iterator[float]:
    """Parts of the strength, by which a single one becomes a power of ten."""
    part = min(1.0, *(_HEALTHY / x if x else 1.0 for x in (measured.share, measured.ratio)))
    whole = 1.0 if strength is None else strength
    if not isfinite(whole):
        return
    power = floor(log10(whole * part)) if whole * part > 0 else floor(log10(whole)) - 1
    for tens in range(_TRIES):
        value = 10.0 ** (power - tens)
        if 0 < value < whole:
            yield value / whole


def _is_well(source: Source, watched: WatchedSteps) -> bool:
    measured = source.measured(watched)
    if measured is None or watched.diverged or measured.emptied or measured.severity:
        return False
    return comes_as_low(watched, source.without)


def _tried(source: Source, watched: WatchedSteps) -> str:
    reached, free = watched.last_task_loss, source.without.last_task_loss
    return f"tried: in {len(watched.steps)} steps the task's loss comes to {fmt(reached)}, and without to {fmt(free)}"
