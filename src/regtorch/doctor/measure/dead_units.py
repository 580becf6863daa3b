"""Activations without a gradient: ReLUs that are zero for every sample, saturated sigmoids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.observe.attempt import Attempt, attempt
from regtorch.doctor.observe.idle_units import awake, redrawn
from regtorch.doctor.observe.lower_rate import lower_rate
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.standardised import standardised_inputs
from regtorch.doctor.observe.starting_point import weights_are_to_blame
from regtorch.doctor.observe.uses import NEAR, RELUS, Use
from regtorch.doctor.remedy import Remedy

__all__ = ["SEVERE", "WARNING", "are_idle", "are_idle_at_first", "find"]

SEVERE, WARNING = 0.9, 0.5
"""Share of a layer's units or outputs without a gradient."""
_LARGE = 5.0  # root mean square of inputs that are large
_ALL = 0.999  # no signal passes at all
_THROWN = 2.0  # spreads by which the first step moves the inputs: ReLUs that die this way do not recover


@dataclass(frozen=True)
class _Idle:
    """A layer with idle units or saturated sigmoids."""

    severity: Severity
    before: Use
    after: Use
    moved: float


def find(obs: Observed) -> Iterator[Finding]:
    """`dead_relus` and `saturated_sigmoids` after the watched steps."""
    for idle in _idle(obs):
        yield _dead(obs, idle) if idle.after.kind in RELUS else _saturated(obs, idle)


def are_idle(obs: Observed) -> bool:
    """Whether there are such activations, whatever they cost."""
    return any(True for _ in _idle(obs))


def are_idle_at_first(obs: Observed) -> bool:
    """Whether there are such activations before the first step, and almost all of a layer's remain so."""
    return any(idle.severity == "severe" and idle.before.share >= WARNING for idle in _idle(obs))


def _idle(obs: Observed) -> Iterator[_Idle]:
    looks = obs.with_rules.looks
    if not looks:
        return
    before, second, last = looks[0].uses, looks[min(1, len(looks) - 1)].uses, looks[-1].uses
    for key, use in last.items():
        earlier = before.get(key, use)
        moved = second[key].moved_from(earlier) if key in second else 0.0
        if use.kind in RELUS:
            severity = _severity(use.share, dying=use.share - earlier.share >= WARNING and moved > _THROWN)
        else:
            severity = _severity(use.share)
            if use.is_output and (looks[-1].loss < looks[0].loss or _is_right(obs)):
                continue
        if severity:
            yield _Idle(severity, earlier, use, moved)


def _severity(share: float, dying: bool = False) -> Severity | None:
    return "severe" if share >= SEVERE or dying else "warning" if share >= WARNING else None


def _is_right(obs: Observed) -> bool:
    """Whether outputs from 0 to 1 already match the targets: a trained net is confident."""
    output, y = obs.outputs[0], obs.subject.batches[0][1]
    if not isinstance(output, Tensor) or output.numel() != y.numel():
        return False
    return float((output - y.reshape(output.shape)).abs().lt(0.5).float().mean()) >= SEVERE


def _dead(obs: Observed, idle: _Idle) -> Finding:
    now, after, moved, severity = idle.before.share, idle.after.share, idle.moved, idle.severity
    numbers = {"dead_now": now, "dead_after": after, "steps": obs.steps, "moved": moved}
    change, remedy = "", _standardised(obs, idle)
    if now >= WARNING:
        why = f"{after:.0%} of the units of the following ReLU are zero for every sample, as they were before training "
        why += f"({now:.0%}): no gradient passes through them"
    else:
        why = f"{after:.0%} of the units of the following ReLU became zero for every sample within {obs.steps} steps "
        why += f"({now:.0%} before); the first step shifted its inputs by {fmt(moved, '.2g')} standard deviations"
    measured = awake(obs, idle.before) if now >= WARNING or severity == "warning" else None
    if measured is not None:
        numbers |= {"loss_at_first": measured.start, "loss_after": measured.as_is, "loss_awake": measured.with_all}
        why += f". The loss goes from {measured.start:.3g} to {measured.as_is:.3g} in {obs.steps} steps, and to "
        why += f"{measured.with_all:.3g} if these units are active at first"
    if severity == "warning" and now < WARNING and obs.without_penalties.falls:
        severity, remedy = "info", None
        change = "Nothing if the loss keeps falling; a smaller learning rate keeps more units active."
    elif measured is not None and not measured.idle_units_matter and after < _ALL:
        why += ": they do no harm"
        severity, remedy = "info", None
        change = "Nothing; standardised inputs (mean 0, not all positive) keep more units active."
    elif now >= WARNING:
        change = redrawn(obs, idle.after.layer, idle.after.kind) or (
            "Look for biases far below 0, or inputs that all have the same sign."
        )
    else:
        to, lower = _lower_rate(obs, idle)
        remedy = remedy or lower
        change = f"Lower the learning rate{to}, and standardise the inputs (mean 0, not all positive)."
    return Finding(
        "dead_relus",
        idle.after.layer or "inputs",
        severity,
        numbers,
        why=f"{why}.",
        change=change,
        remedy=remedy,
        blame=after,
    )


def _saturated(obs: Observed, idle: _Idle) -> Finding:
    now, after, moved = idle.before.share, idle.after.share, idle.moved
    remedy = _standardised(obs, idle)
    if now >= WARNING:
        change = (
            redrawn(obs, idle.after.layer, idle.after.kind) or "Standardise the inputs and initialise smaller weights."
        )
    else:
        to, lower = _lower_rate(obs, idle)
        remedy = remedy or lower
        change = f"Lower the learning rate{to}."
    return Finding(
        "saturated_sigmoids",
        idle.after.layer or "inputs",
        idle.severity,
        {"saturated_now": now, "saturated_after": after, "steps": obs.steps, "moved": moved},
        why=f"{after:.0%} of the outputs of the following sigmoid or tanh are within {NEAR:g} of its bounds after "
        f"{obs.steps} steps ({now:.0%} before), where its slope is almost 0 and blocks the gradient.",
        change=change,
        remedy=remedy,
        blame=after,
    )


def _lower_rate(obs: Observed, idle: _Idle) -> tuple[str, Remedy | None]:
    """A rate at which these units stay at work; none is sought where weights or inputs are to blame."""
    if weights_are_to_blame(obs) or _are_large(obs):
        return "", None
    return lower_rate(obs, 2 * idle.moved, lambda found: not _is_idle(found, idle))


def _standardised(obs: Observed, idle: _Idle) -> Remedy | None:
    """Standardised inputs, if they alone keep the units at work at the present rate, and lower the loss.

    Where units die in training, only if the inputs are large.
    """
    standard = standardised_inputs(obs)
    if standard is None or (idle.before.share < WARNING and not _are_large(obs)):
        return None
    found = attempt(standard, own_rate=True)
    return Remedy("standardised inputs") if found.learns and not _is_idle(found, idle) else None


def _are_large(obs: Observed) -> bool:
    x = obs.inputs
    return x is not None and x.is_floating_point() and float(x.double().square().mean()) > _LARGE**2


def _is_idle(found: Attempt, idle: _Idle) -> bool:
    use = found.use_of(idle.after.layer, idle.after.kind)
    return use is None or use.share >= WARNING
