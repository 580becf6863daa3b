"""A curve as one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

__all__ = ["sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_NOT_FINITE = "×"


def sparkline(values: Sequence[float], low: float, high: float, *, log: bool = False, width: int = 40) -> str:
    """A block for each value, as high as it lies between `low` and `high`; longer curves are averaged."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else [0]
    means = [fmean(values[a:b]) for a, b in pairwise(edges)]
    return "".join(_block(value, low, high, log) for value in means)


def _block(value: float, low: float, high: float, log: bool) -> str:
    if not math.isfinite(value):
        return _NOT_FINITE
    low, high, value = (math.log(max(v, 1e-300)) for v in (low, high, value)) if log else (low, high, value)
    share = (value - low) / (high - low) if high > low else 0.0
    return _BLOCKS[min(len(_BLOCKS) - 1, max(0, int(share * len(_BLOCKS))))]
