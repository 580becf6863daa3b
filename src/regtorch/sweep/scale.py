"""The axis along which strengths, rates or bounds are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["Scale"]

_TICKS = 7  # at most
_DECADES = 20.0  # from this ratio of its ends on an axis is logarithmic
_BESIDE = 0.15  # of the others' span is between them and a 0: room for both labels


class Scale:
    """An axis that is logarithmic where its values span much; a 0 then has a place of its own at the left.

    Args:
        values: what is drawn along it.
        log: whether it is logarithmic even where they do not span much.
    """

    def __init__(self, values: Iterable[float], *, log: bool = False) -> None:
        values = sorted(set(values))
        positive = [value for value in values if value > 0]
        far = len(positive) > 1 and positive[-1] / positive[0] >= _DECADES
        self.log = bool(positive) and values[0] >= 0 and (log or far)
        self._places = positive if self.log else []
        room = max((positive[-1] / positive[0]) ** _BESIDE, 3.0) if self.log else 1.0
        self._zero = positive[0] / room if self.log and values[0] == 0 else None

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        return self._zero if self._zero is not None and value == 0 else value

    def apply(self, axes: Any) -> None:
        """Make it the horizontal axis of a panel on which everything has been drawn."""
        from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

        if not self.log:
            return
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        # Between a 0 at the left and the smallest of the others nothing is drawn, and nothing labelled.
        start = low if self._zero is None else self._places[0] * 0.99
        powers = [10.0**power for power in range(math.ceil(math.log10(start)), math.floor(math.log10(high)) + 1)]
        ticks = powers if len(powers) > 1 else self._places
        zero = [] if self._zero is None else [self._zero]
        ticks = ticks[:: -(-len(ticks) // (_TICKS - len(zero)))]
        axes.xaxis.set_major_locator(FixedLocator([*zero, *ticks]))
        axes.xaxis.set_major_formatter(FixedFormatter([*("0" for _ in zero), *(f"{tick:g}" for tick in ticks)]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(low, high)
