"""Activations that carry no gradient: ReLUs that are zero for every sample, sigmoids at their bounds."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log10

from torch import Tensor

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, Severity
from regtorch.doctor.uses import NEAR, RELUS

__all__ = ["find"]

_SEVERE, _WARNING = 0.9, 0.5
_THROWN = 2.0  # spreads that the first step moves the inputs: ReLUs that die so do not come back


def find(exam: Exam) -> Iterator[Finding]:
    """Which activations have died or saturated after some watched steps, and whether they were so before."""
    looks = exam.with_rules.looks
    if not looks:
        return
    before, second, last = looks[0].uses, looks[min(1, len(looks) - 1)].uses, looks[-1].uses
    for key, use in last.items():
        earlier = before.get(key, use)
        moved = second[key].moved_from(earlier) if key in second else 0.0
        if use.kind in RELUS:
            severity = _severity(use.share, dying=use.share - earlier.share >= _WARNING and moved > _THROWN)
            if severity:
                yield _dead(exam, use.layer, severity, earlier.share, use.share, moved)
        else:
            severity = _severity(use.share)
            if severity and not (use.is_output and (looks[-1].loss < looks[0].loss or _is_right(exam))):
                yield _saturated(exam, use.layer, severity, earlier.share, use.share, moved)


def _severity(share: float, dying: bool = False) -> Severity | None:
    return "severe" if share >= _SEVERE or dying else "warning" if share >= _WARNING else None


def _is_right(exam: Exam) -> bool:
    """Whether outputs from 0 to 1 are already what the targets are: a trained net is sure."""
    output, y = exam.outputs[0], exam.patient.batches[0][1]
    if not isinstance(output, Tensor) or output.numel() != y.numel():
        return False
    return float((output - y.reshape(output.shape)).abs().lt(0.5).float().mean()) >= _SEVERE


def _dead(exam: Exam, where: str, severity: Severity, now: float, after: float, moved: float) -> Finding:
    if now >= _WARNING:
        why = f"{after:.0%} of the units of the ReLU behind it are zero for every sample looked at, and were so before "
        why += f"training ({now:.0%}): no gradient passes through them."
        change, override = "Draw new weights (He initialisation, biases at 0) and standardise the inputs.", ""
    else:
        why = f"{after:.0%} of the units of the ReLU behind it became zero for every sample within {exam.steps} steps "
        why += f"({now:.0%} before); the first step moved what goes in by {moved:.2g} of its standard deviations."
        change = "Lower the learning rate and standardise the inputs (mean 0, not all positive)."
        override = _lower_rate(exam, moved)
    return Finding(
        "dead_relus",
        where or "inputs",
        severity,
        {"dead_now": now, "dead_after": after, "steps": exam.steps, "moved": moved},
        why=why,
        change=change,
        override=override,
        blame=after,
    )


def _saturated(exam: Exam, where: str, severity: Severity, now: float, after: float, moved: float) -> Finding:
    return Finding(
        "saturated_sigmoids",
        where or "inputs",
        severity,
        {"saturated_now": now, "saturated_after": after, "steps": exam.steps, "moved": moved},
        why=f"{after:.0%} of what the sigmoid or tanh behind it puts out lie within {NEAR:g} of the bounds "
        f"after {exam.steps} steps ({now:.0%} before), where its slope is next to 0 and stops the gradient.",
        change="Standardise the inputs and draw smaller initial weights (Glorot)."
        if now >= _WARNING
        else "Lower the learning rate.",
        override="" if now >= _WARNING else _lower_rate(exam, moved),
        blame=after,
    )


def _lower_rate(exam: Exam, moved: float) -> str:
    """A power of ten lower, by at least one: so that the first step moves less than half a standard deviation."""
    if exam.patient.optimizer is None:
        return ""
    lr = float(exam.patient.optimizer.param_groups[0]["lr"])
    tens = max(1, ceil(log10(2 * moved))) if moved > 0 else 1
    return f"optimizer.lr={lr / 10**tens:.3g}"
