"""Mean and standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["Spread", "spread"]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds."""

    mean: float  # of the finite values
    deviation: float  # standard deviation; NaN for a single value
    count: int  # finite values
    lost: int = 0  # values that are not finite

    def __str__(self) -> str:
        digits = "z.3f" if abs(self.mean) < 100 else "z.1f"
        text = format(self.mean, digits) if self.count else ""
        if self.count > 1:
            text += f" ± {format(self.deviation, digits)}"
        if self.lost:
            text += f" (nan in {self.lost} of {self.count + self.lost})"
        return text.strip()


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that are not None; None if all are None."""
    given = [value for value in values if value is not None]
    finite = [value for value in given if math.isfinite(value)]
    if not given:
        return None
    mean = fmean(finite) if finite else math.nan
    deviation = stdev(finite) if len(finite) > 1 else math.nan
    return Spread(mean, deviation, len(finite), len(given) - len(finite))
