"""Which size of blocks is the fastest here and now, by measurement.

Torch shares a block of more than 32,768 elements among its threads, which meet at its end: the fastest way on an idle
machine, but each meeting waits for a core that another process holds. A smaller block is one thread's work. What comes
out is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

__all__ = ["SIZES", "BlockSizes"]

T = TypeVar("T")

SIZES = (1 << 18, 1 << 15)
"""Numbers of elements: 1 MiB of float32, shared among threads, and what one thread steps."""

_TRIES = 3  # measurements of each size, of which the best counts
_LASTS = 1000  # uses of a choice
_SLOW = 3  # uses in a row that take twice as long as before: other processes have come


@dataclass
class _Choice:
    """The measurements of one job."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    uses: int = 0
    slow: int = 0

    def size(self) -> int:
        tried = min(SIZES, key=lambda size: len(self.seconds.get(size, ())))
        if len(self.seconds.get(tried, ())) < _TRIES:
            return tried
        return min(SIZES, key=lambda size: min(self.seconds[size]))

    def note(self, size: int, seconds: float) -> None:
        known = self.seconds.setdefault(size, [])
        if len(known) < _TRIES:
            known.append(seconds)
            return
        self.uses += 1
        self.slow = self.slow + 1 if seconds > 2 * min(known) else 0
        if self.uses == _LASTS or self.slow == _SLOW:
            self.seconds, self.uses, self.slow = {}, 0, 0


class BlockSizes:
    """Chooses the size of blocks for each kind of job; measures again after 1,000 uses, or once it has become slow.

    Args:
        clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._choices: dict[Hashable, _Choice] = {}

    def cut(self, job: Hashable, blocks: Callable[[int], Iterator[T]]) -> Iterator[T]:
        """The blocks of one of the sizes; how long the caller takes for all of them is the measurement.

        Args:
            job: what takes the same time again.
            blocks: makes them from their size.
        """
        choice = self._choices.setdefault(job, _Choice())
        size, start = choice.size(), self._clock()
        yield from blocks(size)
        choice.note(size, self._clock() - start)
