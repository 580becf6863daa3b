"""When to look: as often as a share of the training's time allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from statistics import median
from time import perf_counter

__all__ = ["Clock", "Expense"]

_PAUSE = 4.0  # times the usual time of a step: longer is a pause, such as a validation
_CLOSEST, _FARTHEST = 5, 1000  # steps between two looks
_FREE = 3  # looks


class Clock:
    """The time of a training, without pauses, and the part of it that its looks may cost.

    Attributes:
        for_looks: the seconds that all looks together may have cost by now: `budget` of the training's time, less what
            every step costs that is not looked at.
    """

    def __init__(self, budget: float, read: Callable[[], float] = perf_counter) -> None:
        self.for_looks = 0.0
        self.read = read
        self._budget = budget
        self._usual = inf
        self._last: float | None = None

    def begin(self) -> None:
        """Before the watch's own work in a step: count the time since the last one."""
        now = self.read()
        if self._last is not None:
            seconds = min(now - self._last, _PAUSE * self._usual)
            self._usual = seconds if self._usual == inf else 0.9 * self._usual + 0.1 * seconds
            self.for_looks += self._budget * seconds
        self._last = self._begun = now

    def cost(self) -> None:
        """After that work, where it was no look."""
        self.for_looks -= self.read() - self._begun

    def resume(self) -> None:
        """Before more of that work in the same step."""
        self._begun = self.read()


class Expense:
    """One kind of look, with its share of the time for looks."""

    def __init__(self, share: float, every: int | None) -> None:
        self._share = share
        self._every = every
        self._spent = 0.0
        self._next = 0.0  # the usual cost of a look
        self._recent: deque[float] = deque(maxlen=5)
        self._looks = 0
        self._last = -_CLOSEST

    def is_due(self, step: int, for_looks: float) -> bool:
        """Whether a look at step `step` is due; the first ones, which warm up, are due soon, and for free."""
        if self._every is not None:
            return not self._looks or step % self._every == 0
        since = step - self._last
        if since < _CLOSEST:
            return False
        return self._spent + self._next <= self._share * for_looks or self._looks < _FREE or since >= _FARTHEST

    def took(self, step: int, seconds: float) -> None:
        """Enter what a look at `step` has cost; what took far longer than usual is another process's time."""
        self._recent.append(seconds)
        self._next = median(self._recent)
        if self._looks >= _FREE:
            self._spent += min(seconds, 2 * self._next)
        self._looks += 1
        self._last = step
