"""What became of the members of a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from regtorch.app.path.members import Member

__all__ = ["Divergence", "OnEpoch", "Outcome"]


@dataclass(frozen=True)
class Divergence:
    """When a member's loss ceased to be a number.

    Attributes:
        epoch: counted from 1.
        step: of the epoch, counted from 1; None where the epoch's own metrics show it.
        reason: in words.
    """

    epoch: int
    step: int | None
    reason: str


@dataclass
class Outcome:
    """What became of a member.

    Attributes:
        member: which.
        epochs: each epoch's metrics under train.py's names, those of a validation where there was one, with its number
            under "epoch".
        test: the test metrics after the last epoch.
        weights: by weight, its norm and its share of exact zeros after the last epoch.
        norm: of these weights together; None before the end.
        zeros: the share of exact zeros in all of them.
        diverged: when it did; None where it went through.
    """

    member: Member
    epochs: list[dict[str, float]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    norm: float | None = None
    zeros: float | None = None
    diverged: Divergence | None = None

    @property
    def final(self) -> dict[str, float]:
        """The newest value of each metric; the last validation may be some epochs ago."""
        newest = {name: value for epoch in [*self.epochs, self.test] for name, value in epoch.items()}
        return {name: value for name, value in sorted(newest.items()) if name != "epoch"}


OnEpoch = Callable[[int, Sequence[Outcome]], None]
