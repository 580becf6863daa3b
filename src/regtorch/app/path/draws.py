"""Random numbers of members that share a forward pass: each draws the same as its own run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Draws"]


class Draws:
    """The random number generators of a stack, one per seed; `of_member` is each member's index into `states`.

    A member draws the same as a run of its seed, so members of one seed draw the same. With a single seed its state is
    the global generator's, so layers that use that generator agree too.
    """

    def __init__(self, states: Sequence[Tensor], of_member: Sequence[int], device: torch.device) -> None:
        self.of_member = list(of_member)
        self.device = device
        self._states = [state.clone() for state in states]
        if len(self._states) == 1:
            self.restore(self._states[0])

    @property
    def count(self) -> int:
        """The number of seeds."""
        return len(self._states)

    def state(self) -> Tensor:
        """The global generator's state."""
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.get_rng_state()

    def restore(self, state: Tensor) -> None:
        """Set the global generator's state."""
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state, self.device)
        else:
            torch.set_rng_state(state)

    def states(self) -> list[Tensor]:
        """The states of all seeds."""
        return [self.state()] if self.count == 1 else [state.clone() for state in self._states]

    def load(self, states: Sequence[Tensor]) -> None:
        """Go on from states of `states()`."""
        self._states = [state.clone() for state in states]
        if self.count == 1:
            self.restore(self._states[0])

    def each(self, draw: Callable[[int], Tensor]) -> list[Tensor]:
        """`draw(seed number)` with each seed's generator."""
        if self.count == 1:
            return [draw(0)]
        drawn = []
        for number, state in enumerate(self._states):
            self.restore(state)
            drawn.append(draw(number))
            self._states[number] = self.state()
        return drawn

    def from_same_state(self, draws: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        """Several draws from the same state, which then advances as after the longest draw."""
        if len(draws) == 1:
            return [draws[0]()]
        before = after = self.state()
        drawn = []
        for draw in draws:
            self.restore(before)
            drawn.append(draw())
            now = self.state()
            after = now if not torch.equal(now, before) else after
        self.restore(after)
        return drawn

    def keep(self, rows: Sequence[int]) -> None:
        """Keep some of the members."""
        self.of_member = [self.of_member[row] for row in rows]
