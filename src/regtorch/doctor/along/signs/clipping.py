"""Clipping of gradients, known by a total norm that stays the same."""

from __future__ import annotations

from collections.abc import Iterator

from torch.optim import Optimizer

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import StepLook
from regtorch.doctor.measure.rate import SMALL
from regtorch.steps.optimizers import facts_of

__all__ = ["Clipping"]

_SAME = 2e-3  # relative difference: what rounding leaves, also in half precision


class Clipping:
    """`always_clipped`."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._scales = facts_of(optimizer, or_of_base=True).one_step_size
        self._last = 0.0

    def signs(self, look: StepLook) -> Iterator[Sign]:
        now, last = look.grad, self._last
        self._last = now
        moves = any(one.ratio > SMALL for one in look.matrices.values())  # else nothing changes, gradients included
        if not (moves and last and abs(now - last) <= _SAME * last):
            return
        yield Sign(
            "always_clipped",
            "gradients",
            "warning" if self._scales else "info",
            {"norm": now},
            why=f"The norm of all gradients together is {now:.4g} at every look: every step is clipped to it, and its "
            "length no longer depends on the gradient.",
            change="Clip to a larger norm, such as twice the median norm of unclipped gradients, and lower the rate "
            "if training then diverges.",
            patience=20,
        )
