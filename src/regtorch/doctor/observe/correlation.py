"""A small probe that tests whether inputs predict labels at all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.observe.statistics import spread_and_mean

__all__ = ["FLAT", "correlation", "drawn", "standardised"]

FLAT = 1000
"""Number of features up to which the probe is reliable."""
_WIDTH = 256  # features of the probe
_FILTERS, _FILTER, _SIDE = 32, 5, 32  # number and side of filters, and of the images they see
_SHUFFLES = 20
_CLEAR = 0.4  # a correlation that shuffled labels of 100 samples do not have
_FEW = 256  # samples that often show it
_DEVIATIONS = 2.0  # above the mean of the shuffled labels' correlations, which the true labels must exceed


def correlation(x: Tensor, columns: Tensor) -> tuple[float, float]:
    """A ridge regression's correlation with held-out labels, and the level that shuffled labels hardly exceed.

    The level is 0 where the correlation is far above it.

    Its features are linear in the inputs, at first of few samples; where these do not settle it, also ReLUs of random
    projections, and of images and series the pooled outputs of random filters. Correlation, as accuracy says little
    when one class dominates.
    """
    if len(x) > 2 * _FEW:
        true, level = _correlation(x[:_FEW], columns[:_FEW], parts=1)
        if not level:
            return true, level
    return _correlation(x, columns)


def _correlation(x: Tensor, columns: Tensor, parts: int | None = None) -> tuple[float, float]:
    """`correlation` of all samples, on the first parts of the features."""
    own = torch.Generator().manual_seed(0)
    wanted = columns - columns.mean(0)
    halves = torch.randperm(len(x), generator=own, device=own.device).chunk(2)
    features: list[Tensor] = []
    fits, true = [], 0.0
    for part in islice(_features(x, own), parts):
        features.append(part)
        fits = [_Fit(torch.cat(features, 1), fit, held) for fit, held in (halves, halves[::-1])]
        true = fmean(float(fit.scores(wanted[:, None])) for fit in fits)
        if true > _CLEAR:
            return true, 0.0

    if parts is not None:
        return true, inf

    def scored(columns: Tensor) -> Tensor:
        return torch.stack([fit.scores(columns) for fit in fits]).mean(0)

    orders = [torch.randperm(len(x), generator=own, device=own.device) for _ in range(_SHUFFLES)]
    shuffled = scored(torch.stack([wanted[order] for order in orders], 1))
    return true, float(shuffled.mean() + _DEVIATIONS * shuffled.std())


class _Fit:
    """A ridge regression on some samples, scored on others."""

    def __init__(self, features: Tensor, fit: Tensor, held: Tensor) -> None:
        features = features.nan_to_num(0.0, 0.0, 0.0)  # of numbers whose squares overflow
        mean = features[fit].mean(0)
        self._on, self._off, self._fit, self._held = features[fit] - mean, features[held] - mean, fit, held
        ridge = self._on.T @ self._on
        ridge.diagonal().add_(len(fit))
        self._factor = torch.linalg.cholesky(ridge)

    def scores(self, columns: Tensor) -> Tensor:
        """The correlation with held-out columns of the shape samples, orders, classes; one for each order."""
        weights = torch.cholesky_solve(self._on.T @ columns[self._fit].flatten(1), self._factor)
        guessed, true = (self._off @ weights).view(len(self._held), *columns.shape[1:]), columns[self._held]
        return (guessed * true).sum((0, 2)) / (guessed.norm(dim=(0, 2)) * true.norm(dim=(0, 2)) + 1e-12)


def _features(x: Tensor, own: torch.Generator) -> Iterator[Tensor]:
    """The features, in parts that cost more and more."""
    flat = x.flatten(1)
    half, width = _WIDTH // 2, flat.shape[1]
    if width <= FLAT:
        flat = standardised(flat)
    flat = flat.float()
    yield standardised(flat if width <= half else flat @ drawn(own, width, half))
    bent = flat @ drawn(own, width, half) / width**0.5 + drawn(own, half)
    yield standardised(bent.relu())
    if x.ndim > 2:
        yield _filtered(x, own)


def drawn(own: torch.Generator, *shape: int) -> Tensor:
    """Random numbers in single precision where `own` is, whatever torch's defaults are."""
    return torch.randn(shape, generator=own, device=own.device, dtype=torch.float32)


def _filtered(x: Tensor, own: torch.Generator) -> Tensor:
    """Means over quarters of an image, or of a series by features, of rectified random filters."""
    x = x.float() if x.ndim == 4 else x.float().flatten(2)[:, None]
    if min(x.shape[2:]) > _SIDE:
        x = F.adaptive_avg_pool2d(x, _SIDE)
    x = (x - x.mean()) / x.std().clamp_min(1e-12)
    sides = [min(_FILTER, side) for side in x.shape[2:]]
    filters = drawn(own, _FILTERS, x.shape[1], *sides)
    filters -= filters.mean((1, 2, 3), keepdim=True)
    maps = F.conv2d(x, filters / filters[0].numel() ** 0.5).relu()
    return standardised(F.adaptive_avg_pool2d(maps, 2).flatten(1))


def standardised(x: Tensor) -> Tensor:
    """Every feature with mean 0 and deviation 1; constant features become 0."""
    spread, mean = spread_and_mean(x)
    return (x - mean) / spread.where(spread > 0, torch.ones_like(spread))
