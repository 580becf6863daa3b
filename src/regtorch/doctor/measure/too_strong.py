"""Does a penalty, or the optimizer's own weight decay, outweigh the task?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from regtorch.doctor.finding import Finding, fmt, listed
from regtorch.doctor.measure import penalty_in_loss
from regtorch.doctor.measure.pull import RATIO, SHARE, Measured, Source
from regtorch.doctor.measure.tolerated import Destination, destination, is_kept
from regtorch.doctor.measure.weaker import weaker
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.scale import HIDDEN
from regtorch.doctor.observe.starting_point import has_stepped, loss_of_zeros, starts_large

__all__ = ["find"]

_SHOWS = 0.8  # of a weight's norm: a decay that leaves less of it in the watched steps is measured in full


def find(obs: Observed) -> Iterator[Finding]:
    """`collapse` if a source shrinks a weight to less than half in the watched steps, or `penalty_dominates`."""
    yield from penalty_in_loss.find(obs)
    yield from _of(Source(obs, decay=False))
    if obs.subject.decays:
        decay = Source(obs, decay=True)
        if _shows(decay):
            yield from _of(decay)


def _shows(decay: Source) -> bool:
    """Whether a decay is large enough to justify watching steps without it."""
    watched = decay.obs.with_rules
    if not watched.steps or not decay.weights:
        return False
    before = {name: forces.norm for name, forces in decay.forces(watched.steps[0]).items()}
    return (
        decay.ratio(watched) >= RATIO[1]
        or max(decay.shares(watched)) >= SHARE[1]
        or any(watched.norms[name] < _SHOWS * before[name] for name in decay.weights)
    )


def _of(source: Source) -> Iterator[Finding]:
    obs = source.obs
    measured = source.measured(obs.with_rules)
    if measured is None or not (measured.emptied or measured.severity):
        return
    numbers = _numbers(source, measured)
    if measured.emptied:
        change, remedy = weaker(source, measured)
        yield Finding(
            "collapse",
            _where(source, measured.emptied),
            "severe",
            numbers,
            why=_empties(source, measured),
            change=change + _anew(source, measured),
            remedy=remedy,
            blame=2.0,
        )
        return
    if is_kept(source, measured):
        return
    if measured.ratio < RATIO[0] and measured.pulls[measured.worst].cosine > 0 and starts_large(obs):
        yield _wanted(source, measured, numbers)
        return
    hidden = numbers["share_hidden_by_norm"] > 0.5  # a hidden scale has no effect to measure
    there = None if hidden else destination(source, measured)
    if there is not None:
        yield _harmless(source, measured, numbers, there)
        return
    change, remedy = weaker(source, measured)
    assert measured.severity is not None
    yield Finding(
        "penalty_dominates",
        _where(source, [measured.worst]),
        measured.severity,
        numbers,
        why=_outweighs(source, measured),
        change=change,
        remedy=remedy,
        blame=1.0,
    )


def _empties(source: Source, measured: Measured) -> str:
    """That weights shrink in the watched steps, or have shrunk before them and stay small."""
    start = f"In {len(source.obs.with_rules.steps)} steps {_subject(source, measured)}"
    number = f"{len(measured.emptied)} of {len(measured.pulls)} weights"
    if measured.were_small:
        return (
            f"{start} keeps the norm of {number} below half of what it would be without; they pass hardly any signal."
        )
    return f"{start} more than halves the norm of {number}, which then pass hardly any signal."


def _anew(source: Source, measured: Measured) -> str:
    """More advice for weights that a training has emptied: a lower strength hardly brings them back."""
    anew = has_stepped(source.obs) and measured.were_small
    return " Start again from new weights, too: these are small already." if anew else ""


def _where(source: Source, names: Sequence[str]) -> str:
    if not source.decay:
        return listed(names)
    return f"optimizer.weight_decay of {listed(names)} (group {source.obs.subject.decays[names[0]].group})"


def _subject(source: Source, measured: Measured) -> str:
    if not source.decay:
        return "the penalty"
    return f"the optimizer's weight decay of {source.obs.subject.decays[measured.worst].value:g}"


def _numbers(source: Source, measured: Measured) -> dict[str, float]:
    subject, pull = source.obs.subject, measured.pulls[measured.worst]
    sizes = {name: source.parameters[name].numel() for name in source.weights}
    hidden = sum(size for name, size in sizes.items() if source.scale_changes.get(name, 1.0) < HIDDEN)
    numbers = {
        "share_of_loss_at_start": measured.shares[0],
        "share_of_loss": measured.share,
        "gradient_ratio": measured.ratio,
        "half_life_in_steps": pull.half_life,
        "norm": pull.norm,
        "norm_after": pull.after,
        "norm_without_penalty": pull.without,
        "norm_at_equilibrium": pull.equilibrium,
        "share_hidden_by_norm": hidden / max(1, sum(sizes.values())),
    }
    if source.decay:
        decay = subject.decays[measured.worst]
        numbers |= {"weight_decay": decay.value, "group": decay.group}
    return numbers


def _outweighs(source: Source, measured: Measured) -> str:
    """How much stronger than the task it is, and what it does alone."""
    half_life, subject = measured.half_life, _subject(source, measured)
    decoupled = source.decay and source.obs.subject.decays[measured.worst].decoupled
    effects = [f"is {measured.share:.2g} of the loss"] if measured.share else []
    if not isfinite(measured.ratio):
        effects.append("acts where the task has no gradient")
    elif decoupled:
        effects.append(f"removes {measured.ratio:.2g} times as much per step as the task moves")
    else:
        effects.append(f"has {measured.ratio:.2g} times the gradient of the task")
    if half_life < 1:
        speed = f"alone it removes the whole norm of {measured.worst} in a step or two"
    elif isfinite(half_life):
        speed = f"alone it halves the norm of {measured.worst} in {half_life:.3g} steps"
    else:
        speed = f"it moves {measured.worst} without shrinking its norm in these steps"
    return f"{subject[0].upper()}{subject[1:]} {' and '.join(effects)}; {speed}."


def _wanted(source: Source, measured: Measured, numbers: dict[str, float]) -> Finding:
    """The penalty is large because the weights start large, and the task shrinks them too."""
    obs = source.obs
    loss, of_zeros = obs.with_rules.steps[0].task_loss, loss_of_zeros(obs)
    return _tolerated(
        source,
        measured,
        {**numbers, "loss_of_outputs_of_0": of_zeros},
        f"the weights start large: the task's loss is {fmt(loss)} at first, and {fmt(of_zeros)} with zero outputs, "
        "so the task needs smaller weights too",
    )


def _harmless(source: Source, measured: Measured, numbers: dict[str, float], there: Destination) -> Finding:
    return _tolerated(
        source,
        measured,
        {**numbers, "loss_there": there.loss, "loss_without_penalty": there.free},
        f"{measured.worst} starts {there.over:.2g} times larger than Glorot's initialisation. Shrunk to "
        f"{there.part:.2g} of its norm, near its equilibrium, the task's loss reaches {there.loss:.3g} in "
        f"{source.obs.steps} steps; unshrunk and without the penalty it reaches {there.free:.3g}",
    )


def _tolerated(source: Source, measured: Measured, numbers: dict[str, float], evidence: str) -> Finding:
    return Finding(
        "penalty_dominates",
        _where(source, [measured.worst]),
        "info",
        numbers,
        why=f"{_outweighs(source, measured)} But {evidence}.",
        change=f"Nothing, as far as {source.obs.steps} steps show; weights that start smaller (Glorot, He) need not "
        "be shrunk first.",
    )
