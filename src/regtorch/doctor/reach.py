"""Weights that no gradient of the loss reaches: they stay as they were drawn, and a penalty has them to itself."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor import activations
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed

__all__ = ["find", "unreached"]

_MOST = 0.5  # of the trained weights


def unreached(exam: Exam) -> list[str]:
    """The trained weights whose gradient the loss has left out, or kept at 0, in all watched steps."""
    reached = exam.without_penalties.reached
    return [name for name in exam.patient.trained if not reached.get(name)] if any(reached.values()) else []


def find(exam: Exam) -> Iterator[Finding]:
    """`no_gradient_reaches`; gradients of 0 that units which are off or alike explain are told there."""
    names = unreached(exam)
    cut = [name for name in names if name not in exam.without_penalties.reached]
    if not cut and (exam.with_rules.symmetric or any(activations.find(exam))):
        return
    names = cut or names
    if not names:
        return
    trained = exam.patient.trained
    share = sum(trained[name].numel() for name in names) / sum(p.numel() for p in trained.values())
    how = "is cut off from the loss" if cut else "has a gradient of exactly 0"
    yield Finding(
        "no_gradient_reaches",
        listed(names),
        "severe" if cut and share > _MOST else "warning",
        {"weights": len(names), "share_of_trained": share, "steps": len(exam.without_penalties.steps)},
        why=f"In {len(exam.without_penalties.steps)} steps the loss gave {len(names)} of {len(trained)} weights no "
        f"gradient: {share:.0%} of what is trained {how}, and is moved by penalties and decay alone.",
        change="Look for detach(), torch.no_grad(), rounding or argmax behind these weights, and for layers that "
        "forward does not use; freeze or remove what is not meant to learn.",
        blame=share,
    )
