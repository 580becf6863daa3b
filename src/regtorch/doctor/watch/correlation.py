"""A small probe that tests whether inputs predict labels at all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.watch.observed import spread_and_mean

__all__ = ["FLAT", "correlation", "standardised"]

FLAT = 1000
"""Number of features up to which the probe is reliable."""
_WIDTH = 256  # features of the probe
_FILTERS, _FILTER, _SIDE = 32, 5, 32  # number and side of filters, and of the images they see
_SHUFFLES = 20
_LEVEL = 0.9  # quantile of the shuffled labels' correlations that the true labels must exceed


def correlation(x: Tensor, columns: Tensor) -> tuple[float, float]:
    """A ridge regression's correlation with held-out labels, and the 0.9 quantile of that with shuffled labels.

    Half of its features are linear in the inputs, half are ReLUs of random projections; of images and series it also
    takes the pooled outputs of random filters. Correlation, because accuracy is uninformative when one class dominates.
    """
    own = torch.Generator().manual_seed(0)
    features = _features(x.flatten(1), own)
    if x.ndim > 2:
        features = torch.cat([features, _filtered(x, own)], 1)
    wanted = columns - columns.mean(0)
    orders = [torch.arange(len(x)), *(torch.randperm(len(x), generator=own) for _ in range(_SHUFFLES))]
    columns = torch.stack([wanted[order] for order in orders], 1)  # samples, orders, classes
    scores = torch.zeros(len(orders))
    halves = torch.randperm(len(x), generator=own).chunk(2)
    for fit, held in (halves, halves[::-1]):
        a, mean = features[fit], features[fit].mean(0)
        a = a - mean
        ridge = a.T @ a + len(fit) * torch.eye(a.shape[1], dtype=a.dtype)
        weights = torch.linalg.solve(ridge, a.T @ columns[fit].flatten(1))
        guessed = ((features[held] - mean) @ weights).view(len(held), len(orders), -1)
        true = columns[held]
        scores += (guessed * true).sum((0, 2)) / (guessed.norm(dim=(0, 2)) * true.norm(dim=(0, 2)) + 1e-12)
    scores /= 2
    return float(scores[0]), float(scores[1:].quantile(_LEVEL))


def _features(x: Tensor, own: torch.Generator) -> Tensor:
    half, width = _WIDTH // 2, x.shape[1]
    if width <= FLAT:
        x = standardised(x)
    x = x.float()
    linear = x if width <= half else x @ torch.randn(width, half, generator=own)
    bent = (x @ torch.randn(width, half, generator=own) / width**0.5 + torch.randn(half, generator=own)).relu()
    return standardised(torch.cat([standardised(linear), bent], 1))


def _filtered(x: Tensor, own: torch.Generator) -> Tensor:
    """Means over quarters of an image, or of a series by features, of rectified random filters."""
    x = x.float() if x.ndim == 4 else x.float().flatten(2)[:, None]
    if min(x.shape[2:]) > _SIDE:
        x = F.adaptive_avg_pool2d(x, _SIDE)
    x = (x - x.mean()) / x.std().clamp_min(1e-12)
    sides = [min(_FILTER, side) for side in x.shape[2:]]
    filters = torch.randn(_FILTERS, x.shape[1], *sides, generator=own)
    filters -= filters.mean((1, 2, 3), keepdim=True)
    maps = F.conv2d(x, filters / filters[0].numel() ** 0.5).relu()
    return standardised(F.adaptive_avg_pool2d(maps, 2).flatten(1))


def standardised(x: Tensor) -> Tensor:
    """Every feature with mean 0 and deviation 1; constant features become 0."""
    spread, mean = spread_and_mean(x)
    return (x - mean) / spread.where(spread > 0, torch.ones_like(spread))
