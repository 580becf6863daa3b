"""Constraints that take back what the optimizer does."""

from __future__ import annotations

from collections.abc import Iterator

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import StepLook

__all__ = ["signs"]

_UNDONE = 0.9  # of a step


def signs(look: StepLook) -> Iterator[Sign]:
    """`constraint_too_tight`."""
    for name, one in look.weights.items():
        if one.undone is not None and one.undone >= _UNDONE:
            yield Sign(
                "constraint_too_tight",
                name,
                "warning",
                {"undone": one.undone},
                why=f"The constraint takes back {one.undone:.0%} of each step of {name}.",
                change="Loosen the constraint, or lower the learning rate if its steps are far larger than the set.",
                patience=5,
                blame=one.undone,
            )
