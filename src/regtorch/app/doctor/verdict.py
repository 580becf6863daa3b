"""Does one setting do better than another by more than noise?

Runs are paired by seed and compared on the same held-out samples. The variance of their mean difference is that over
samples (a jackknife of the paired differences) plus that over seeds (their squared standard error). A difference counts
if it exceeds `SURE` times the noise and a margin: `MARGINS` of the loss, `POINTS` of the score, the larger one for a
single seed, whose noise is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from regtorch.app.doctor.short_run import ShortRun

__all__ = ["SURE", "Difference", "Gain", "gain"]

SURE, UNSURE = 3.0, 2.0  # times the noise: to claim a difference, and to exclude one
MARGINS = 0.03, 0.1  # of the loss, with several seeds and with one
POINTS = 0.005, 0.02  # of the score


@dataclass(frozen=True)
class Difference:
    """How much better the second of two settings is, by one measure."""

    mean: float  # over the seeds
    noise: float  # the mean's standard error
    margin: float  # the smallest relevant difference

    @property
    def better(self) -> bool:
        return self.mean > max(self.margin, SURE * self.noise)

    @property
    def worse(self) -> bool:
        return -self.mean > max(self.margin, SURE * self.noise)

    @property
    def not_better(self) -> bool:
        """Whether an improvement can be excluded, which is more than not being better."""
        return self.mean + UNSURE * self.noise < self.margin


@dataclass(frozen=True)
class Gain:
    """The improvement from the first to the second setting, by loss and by score."""

    loss: Difference
    score: Difference

    @property
    def better(self) -> bool:
        """Better by one measure, and not worse by the other."""
        return (self.loss.better and not self.score.worse) or (self.score.better and not self.loss.worse)

    @property
    def worse(self) -> bool:
        """Worse by one measure, and not better by the other."""
        return (self.loss.worse and not self.score.better) or (self.score.worse and not self.loss.better)

    @property
    def not_better(self) -> bool:
        return (self.loss.not_better and self.score.not_better) or self.loss.worse


def gain(first: Sequence[ShortRun], second: Sequence[ShortRun]) -> Gain:
    """Compare two settings' runs, paired by seed."""
    pairs = [(a.held, b.held) for a, b in zip(first, second, strict=False)]
    single = int(len(pairs) == 1)
    level = fmean(a.loss for a, _ in pairs)
    return Gain(
        _difference(
            [(a.loss - b.loss, [x - y for x, y in zip(a.losses, b.losses, strict=False)]) for a, b in pairs],
            MARGINS[single] * level if math.isfinite(level) else 0.0,
        ),
        _difference(
            [(b.score - a.score, [y - x for x, y in zip(a.scores, b.scores, strict=False)]) for a, b in pairs],
            POINTS[single],
        ),
    )


def _difference(pairs: Sequence[tuple[float, Sequence[float]]], margin: float) -> Difference:
    values = [value for value, _ in pairs]
    if not all(math.isfinite(value) for value in values):
        # A setting that diverges with one seed has failed; if both settings diverge, nothing follows.
        known = [value for value in values if not math.isnan(value)]
        lost = {math.copysign(math.inf, value) for value in known if math.isinf(value)}
        return Difference(lost.pop() if len(lost) == 1 else 0.0, 0.0, margin)
    samples = fmean(_jackknife(parts) ** 2 for _, parts in pairs)
    seeds = stdev(values) ** 2 / len(values) if len(values) > 1 else 0.0
    return Difference(fmean(values), math.sqrt(samples + seeds), margin)


def _jackknife(parts: Sequence[float]) -> float:
    """The jackknife standard error of a statistic, from its values with each group left out."""
    count, mean = len(parts), fmean(parts) if parts else 0.0
    return math.sqrt((count - 1) / count * sum((x - mean) ** 2 for x in parts)) if count > 1 else 0.0
