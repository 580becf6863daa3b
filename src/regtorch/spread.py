"""Mean and standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["Spread", "mean_of", "spread"]

_LARGE = 1e150  # the squares of larger numbers, or their sum, may be infinite


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds."""

    mean: float  # of the finite values
    deviation: float  # standard deviation; NaN for a single value
    count: int  # finite values
    lost: int = 0  # values that are not finite

    @property
    def shown(self) -> str:
        """The mean with the digits that are shown; empty without a finite value."""
        return format(self.mean, self._digits) if self.count else ""

    @property
    def _digits(self) -> str:
        return "z.3f" if abs(self.mean) < 100 else "z.1f" if abs(self.mean) < 1e7 else ".3e"

    def __str__(self) -> str:
        text = self.shown
        if self.count > 1:
            text += f" ± {format(self.deviation, self._digits)}"
        if self.lost:
            text += f" (nan in {self.lost} of {self.count + self.lost})"
        return text.strip()


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that are not None; None if all are None."""
    given = [value for value in values if value is not None]
    finite = [value for value in given if math.isfinite(value)]
    if not given:
        return None
    scale = _scale(finite)
    mean = mean_of(finite) if finite else math.nan
    deviation = stdev([value / scale for value in finite]) * scale if len(finite) > 1 else math.nan
    return Spread(mean, deviation, len(finite), len(given) - len(finite))


def mean_of(finite: Sequence[float]) -> float:
    """The mean of finite values, of which there is one at least; their sum may be infinite."""
    scale = _scale(finite)
    return fmean(value / scale for value in finite) * scale


def _scale(finite: Iterable[float]) -> float:
    """What values are divided by, so that neither their sum nor their squares are infinite; mostly 1."""
    largest = max(map(abs, finite), default=0.0)
    return largest if largest > _LARGE else 1.0
