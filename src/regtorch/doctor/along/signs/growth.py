"""A weight that grows without end, while it is still finite."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import StepLook
from regtorch.doctor.finding import fmt

__all__ = ["Growth"]

_GROWN = 100.0  # times the largest norm of any weight at first: a weight that starts at 0 grows to others' size
_SETTLED = 3  # looks until the norms are those of a training that has begun
_STEPPED = 0.01  # ‖update‖/‖weight‖ below which it is not the optimizer that makes a weight so large


class Growth:
    """`diverges`, of a weight whose norm leaves that of all weights at first behind."""

    def __init__(self) -> None:
        self._looks = 0
        self._largest = 0.0  # norm of a weight at the first looks

    def signs(self, look: StepLook) -> Iterator[Sign]:
        self._looks += 1
        if self._looks <= _SETTLED:
            self._largest = max([self._largest, *(one.norm for one in look.weights.values())])
            return
        for name, one in look.matrices.items():
            if not isfinite(one.norm) or one.norm < _GROWN * self._largest or not self._largest:
                continue
            change = (
                "Its steps are small, so look for code that changes it beside the optimizer"
                if one.ratio < _STEPPED
                else "Lower the learning rate, or clip gradients"
            )
            yield Sign(
                "diverges",
                name,
                "severe",
                {"norm": one.norm, "growth": one.norm / self._largest, "update_over_weight": one.ratio},
                why=f"The norm of {name} is {fmt(one.norm)}, {one.norm / self._largest:.3g} times that of any weight "
                "at first: outputs and gradients grow with it.",
                change=f"Load an earlier checkpoint. {change}.",
                patience=2,
                blame=one.norm,
            )
