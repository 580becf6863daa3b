"""The loss scale of a GradScaler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regtorch.doctor.along.course import Course, Sign
from regtorch.doctor.finding import Finding

__all__ = ["Scaling"]

_BATCHES = 16  # times the usual number between two steps
_FLOOR = 1.0  # below, float16 loses the small gradients that the scale is there for


class Scaling:
    """`loss_scale_at_floor`: a scale that has fallen below 1, or batches without any step."""

    def __init__(self, scaler: Any) -> None:
        self._scaler = scaler
        self.course = Course()
        self._waiting = 0  # batches since the last step
        self._usual = 1
        self._steps = 0

    def batch(self) -> list[Finding]:
        """Count a batch; what is new."""
        self._waiting += 1
        late = self._steps > 0 or self._waiting > 2 * _BATCHES  # the first scales are found by skipping steps
        if not late or self._waiting < _BATCHES * self._usual or self._waiting % _BATCHES:
            return []
        return self.course.take(self._signs(skipping=True), self._steps)

    def stepped(self) -> list[Finding]:
        """Count a step; what is new."""
        self._usual = max(self._usual, self._waiting) if self._waiting < _BATCHES * self._usual else self._usual
        self._waiting = 0
        self._steps += 1
        due = self._steps % _BATCHES == 0 or bool(self.course.findings)
        return self.course.take(self._signs(skipping=False), self._steps) if due else []

    def _signs(self, *, skipping: bool) -> Iterator[Sign]:
        scale = float(self._scaler.get_scale())
        if not skipping and scale >= _FLOOR:
            return
        what = f"{self._waiting} batches in a row made no step" if skipping else "it is below 1"
        yield Sign(
            "loss_scale_at_floor",
            "GradScaler",
            "severe",
            {"scale": scale, "batches_without_step": self._waiting},
            why=f"The loss scale has fallen to {scale:.3g}, and {what}: gradients are not finite whatever the scale.",
            change="Look for infinite numbers in the forward pass (float16 ends at 65504), lower the learning rate, or "
            "train in bfloat16, which needs no scaler.",
            patience=1,
        )
