"""What the callbacks of all trainers share: their settings, the watch of one training, its findings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from regtorch.checks import integer, share
from regtorch.doctor.along.watching import Watching, watch
from regtorch.doctor.finding import Finding

__all__ = ["Attending"]


class Attending:
    """Begins a watch with each training, and ends it."""

    def __init__(
        self, *, every: int | None = None, budget: float = 0.02, on_finding: Callable[[Finding], object] | None = None
    ) -> None:
        self.every = None if every is None else integer("Doctor", "every", every)
        self.budget = share("Doctor", "budget", budget)
        if on_finding is not None and not callable(on_finding):
            raise TypeError(f"Doctor: on_finding must be a function of a finding, received {on_finding!r}")
        self.on_finding = on_finding
        self._watching: Watching | None = None

    @property
    def findings(self) -> list[Finding]:
        return [] if self._watching is None else self._watching.findings

    def _begin(self, model: nn.Module, optimizers: Any, scaler: Any, *, speaks: bool) -> Watching:
        self._end()  # a training that an error has ended
        self._watching = watch(
            model,
            optimizers,
            scaler=scaler,
            every=self.every,
            budget=self.budget,
            on_finding=self.on_finding if speaks else _keep_silent,
        )
        return self._watching

    def _end(self) -> None:
        if self._watching is not None:
            self._watching.remove()


def _keep_silent(_: Finding) -> None:
    """Another process speaks."""
