"""The part of an axis that its values fill, without single values so far away that they would squeeze the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import quantiles

__all__ = ["fence"]

_FEWEST = 5  # values; among fewer, none is far from the others
_REACH = 3.0  # times the distance of the quartiles, from either
_SHARE = 0.1  # of the median, if the quartiles are equal
_SQUEEZED = 0.1  # share of the axis that the others would fill


def fence(values: Iterable[float], *, log: bool = False) -> tuple[float, float] | None:
    r"""The least and the largest value that is not far from the others; None if no far value squeezes an axis.

    Far is what lies more than :math:`3 (q_3 - q_1)` below the first quartile :math:`q_1` or above the third
    :math:`q_3`. Far values squeeze an axis if all others fill less than a tenth of it.

    Args:
        values: those that are not finite do not count.
        log: whether the axis is logarithmic; values below or at 0 do not count then.
    """
    finite = sorted(value for value in values if math.isfinite(value) and (value > 0 or not log))
    if len(finite) < _FEWEST:
        return None
    places = [math.log10(value) for value in finite] if log else finite
    first, middle, third = quantiles(places, n=4, method="inclusive")
    reach = _REACH * (third - first) or _SHARE * abs(middle)
    near = [value for value, place in zip(finite, places, strict=True) if first - reach <= place <= third + reach]
    if not near:  # the distance of the quartiles is more than a float holds
        return None
    filled = (math.log10(near[-1]) - math.log10(near[0]) if log else near[-1] - near[0]) or reach
    whole = places[-1] - places[0]
    return (near[0], near[-1]) if 0 < filled < _SQUEEZED * whole else None
