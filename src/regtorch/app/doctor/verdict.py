"""Whether one setting does better than another, by more than noise.

Runs are compared in pairs of the same seed, on the same held-out samples. The noise of their mean difference is that of
the samples (a jackknife of the paired differences) and that of the seeds (their standard error), added in squares. A
difference counts where it is more than `SURE` times the noise, and not so small that nobody would care: of the loss
`MARGINS`, of the score `POINTS`, the larger number where there is only one seed, whose noise is unknown.
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
    """Of two settings, in one number; more is better.

    Attributes:
        mean: over the seeds.
        noise: its standard error.
        margin: what a difference has to be, to count.
    """

    mean: float
    noise: float
    margin: float

    @property
    def better(self) -> bool:
        """Whether the second does better."""
        return self.mean > max(self.margin, SURE * self.noise)

    @property
    def worse(self) -> bool:
        """Whether the second does worse."""
        return -self.mean > max(self.margin, SURE * self.noise)

    @property
    def not_better(self) -> bool:
        """Whether it can be excluded that the second does better."""
        return self.mean + UNSURE * self.noise < self.margin


@dataclass(frozen=True)
class Gain:
    """Of the second setting over the first, by loss and by score."""

    loss: Difference
    score: Difference

    @property
    def better(self) -> bool:
        """By one of the two, and not worse by the other."""
        return (self.loss.better and not self.score.worse) or (self.score.better and not self.loss.worse)

    @property
    def worse(self) -> bool:
        """By one of the two, and not better by the other."""
        return (self.loss.worse and not self.score.better) or (self.score.worse and not self.loss.better)

    @property
    def not_better(self) -> bool:
        """By neither."""
        return (self.loss.not_better and self.score.not_better) or self.loss.worse


def gain(first: Sequence[ShortRun], second: Sequence[ShortRun]) -> Gain:
    """Compare two settings' runs, seed by seed.

    Args:
        first: one run a seed.
        second: likewise; of the fewer seeds of both.
    """
    pairs = [(a.held, b.held) for a, b in zip(first, second, strict=False)]
    several = int(len(pairs) == 1)
    level = fmean(a.loss for a, _ in pairs)
    return Gain(
        _difference(
            [(a.loss - b.loss, [x - y for x, y in zip(a.losses, b.losses, strict=False)]) for a, b in pairs],
            MARGINS[several] * level if math.isfinite(level) else 0.0,
        ),
        _difference(
            [(b.score - a.score, [y - x for x, y in zip(a.scores, b.scores, strict=False)]) for a, b in pairs],
            POINTS[several],
        ),
    )


def _difference(pairs: Sequence[tuple[float, Sequence[float]]], margin: float) -> Difference:
    values = [value for value, _ in pairs]
    if not all(math.isfinite(value) for value in values):
        # A setting that diverges under one seed has failed; both doing so says nothing, and a score then says nothing.
        known = [value for value in values if not math.isnan(value)]
        lost = {math.copysign(math.inf, value) for value in known if math.isinf(value)}
        return Difference(lost.pop() if len(lost) == 1 else 0.0, 0.0, margin)
    samples = fmean(_jackknife(parts) ** 2 for _, parts in pairs)
    seeds = stdev(values) ** 2 / len(values) if len(values) > 1 else 0.0
    return Difference(fmean(values), math.sqrt(samples + seeds), margin)


def _jackknife(parts: Sequence[float]) -> float:
    """The standard error of a number, from its values without each of some groups of samples."""
    count, mean = len(parts), fmean(parts) if parts else 0.0
    return math.sqrt((count - 1) / count * sum((x - mean) ** 2 for x in parts)) if count > 1 else 0.0
