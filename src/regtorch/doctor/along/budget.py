"""When to look: as often as a share of the training's time allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from statistics import median
from time import perf_counter

__all__ = ["Clock", "Expense"]

_PAUSE = 4.0  # times the usual time of a step: longer is a pause, such as a validation
_CLOSEST = 5  # steps between two looks
_FREE = 3  # looks


class Clock:
    """The time that training has taken, without pauses."""

    def __init__(self, read: Callable[[], float] = perf_counter) -> None:
        self.read = read
        self.trained = 0.0
        self._usual = inf
        self._last: float | None = None

    def tick(self) -> None:
        """Count the time since the last call: that of one step."""
        now = self.read()
        if self._last is not None:
            seconds = min(now - self._last, _PAUSE * self._usual)
            self._usual = seconds if self._usual == inf else 0.9 * self._usual + 0.1 * seconds
            self.trained += seconds
        self._last = now


class Expense:
    """One kind of look, with its share of the time."""

    def __init__(self, share: float, every: int | None) -> None:
        self._share = share
        self._every = every
        self._spent = 0.0
        self._recent: deque[float] = deque(maxlen=5)
        self._looks = 0
        self._last = -_CLOSEST

    def is_due(self, step: int, trained: float) -> bool:
        """Whether a look at step `step` is due; the first ones, which warm up, are due at once, and for free."""
        if self._every is not None:
            return not self._looks or step % self._every == 0
        if step - self._last < _CLOSEST:
            return False
        return self._looks < _FREE or self._spent + median(self._recent) <= self._share * trained

    def took(self, step: int, seconds: float) -> None:
        """Enter what a look at `step` has cost; what took far longer than usual is another process's time."""
        self._recent.append(seconds)
        if self._looks >= _FREE:
            self._spent += min(seconds, 2 * median(self._recent))
        self._looks += 1
        self._last = step
