"""Levels, trends and fluctuations of short, noisy series, and the thresholds that several findings share.

A fluctuation is the standard deviation about the local trend, from the median of absolute second differences: a
straight line has none, and a few outliers do not change it. The level at the end is the median of the last quarter. A
change counts if it exceeds `SURE` standard errors, and a margin: neither noise nor what nobody would act on may alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

__all__ = [
    "AT_CHANCE",
    "BEYOND",
    "CONSTANT",
    "FALLING",
    "FEW",
    "FLAT",
    "GAP",
    "JUMP",
    "LEAST",
    "RISE",
    "SURE",
    "TAIL",
    "ceiling",
    "entropy",
    "error_of_share",
    "finite",
    "fluctuation",
    "smooth",
    "tail",
]

LEAST = 4  # epochs: with fewer, trends are not told from noise, and only levels are compared
SURE = 3.0  # standard errors of a difference, to claim it
TAIL = 0.25  # share of the epochs that make up the end of a training
CONSTANT = 1e-4  # relative range of a loss that does not move: Keras prints four digits
FLAT = 0.02  # share of the whole fall of a loss within which its end counts as flat
FALLING = 0.05  # relative fall of a loss over its last epochs from which it is still improving
RISE = 0.05  # relative rise of a validation loss above its lowest level, from which it is overfitting
GAP = 0.10  # training minus validation accuracy, beyond the error of the latter
JUMP = 1.3  # a validation loss that is larger by this factor than in the epochs before and after has jumped
AT_CHANCE = 1.4  # an accuracy below this multiple of chance has not left it
BEYOND = 0.05  # relative excess of a loss over the highest that a calibrated classifier of its accuracy has
FEW = 1000, 100  # validation samples: below, differences of accuracies of a few percent are chance


def finite(values: Sequence[float]) -> list[float]:
    """The values that are neither NaN nor infinite."""
    return [value for value in values if math.isfinite(value)]


def fluctuation(values: Sequence[float]) -> float:
    """The standard deviation of a series about its local trend; 0 for fewer than five values."""
    if len(values) < 5:
        return 0.0
    second = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * median(second) / math.sqrt(6)


def window(count: int) -> int:
    """The number of epochs at the end whose mean is a level."""
    return max(1, round(count * TAIL))


def tail(values: Sequence[float]) -> float:
    """The level at the end: the median of the last quarter."""
    return median(values[-window(len(values)) :])


def smooth(values: Sequence[float]) -> list[float]:
    """Running medians of three, whose ends are kept, and then running means of a tenth of the series."""
    medians = [
        median(values[max(0, i - 1) : i + 2]) if 0 < i < len(values) - 1 else values[i] for i in range(len(values))
    ]
    half = len(values) // 20
    return [fmean(medians[max(0, i - half) : i + half + 1]) for i in range(len(values))] if half else medians


def error_of_share(share: float, samples: int) -> float:
    """The standard error of an accuracy on so many samples."""
    share = min(max(share, 0.5 / samples), 1 - 0.5 / samples)
    return math.sqrt(share * (1 - share) / samples)


def ceiling(accuracy: float, classes: int) -> float:
    """The highest cross-entropy of a calibrated classifier of this accuracy: h(a) + (1 − a) ln(k − 1).

    Fano's inequality bounds the entropy of the label by it, and a calibrated classifier's loss is that entropy. A loss
    above it includes a penalty or smoothed labels, or outputs are surer than they are right.
    """
    a = max(accuracy, 1 / classes)
    return entropy(a) + max(0.0, 1 - a) * math.log(max(classes - 1, 1))


def entropy(share: float) -> float:
    """h(a) = −a ln a − (1 − a) ln(1 − a), in nats."""
    a = min(max(share, 1e-9), 1 - 1e-9)
    return -a * math.log(a) - (1 - a) * math.log1p(-a)
