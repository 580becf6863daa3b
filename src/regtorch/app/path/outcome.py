"""Results of the members of a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from regtorch.app.path.members import Member

__all__ = ["Divergence", "OnEpoch", "Outcome"]


@dataclass(frozen=True)
class Divergence:
    """When a member's loss became NaN or infinite."""

    epoch: int  # from 1
    step: int | None  # from 1; None if the epoch's metrics show it
    reason: str


@dataclass
class Outcome:
    """The result of a member."""

    member: Member
    # metrics by train.py's names, and the number under "epoch"
    epochs: list[dict[str, float]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)  # after the last epoch
    weights: dict[str, dict[str, float]] = field(default_factory=dict)  # final norm and share of exact zeros, by weight
    norm: float | None = None  # of all these weights
    zeros: float | None = None  # share of exact zeros in all of them
    diverged: Divergence | None = None

    @property
    def final(self) -> dict[str, float]:
        """The newest value of each metric; the last validation may be older than the last epoch."""
        newest = {name: value for epoch in [*self.epochs, self.test] for name, value in epoch.items()}
        return {name: value for name, value in sorted(newest.items()) if name != "epoch"}


OnEpoch = Callable[[int, Sequence[Outcome]], None]
