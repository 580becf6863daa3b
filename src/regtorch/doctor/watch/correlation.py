"""A small probe that tests whether inputs predict labels at all."""

from __future__ import annotations

import torch
from torch import Tensor

from regtorch.doctor.watch.observed import spread_and_mean

__all__ = ["FLAT", "correlation", "standardised"]

FLAT = 1000
"""Number of features up to which the probe is reliable."""
_WIDTH = 256  # features of the probe
_SHUFFLES = 20
_LEVEL = 0.9  # quantile of the shuffled labels' correlations that the true labels must exceed


def correlation(x: Tensor, columns: Tensor) -> tuple[float, float]:
    """A ridge regression's correlation with held-out labels, and the 0.9 quantile of that with shuffled labels.

    Half of its features are linear in the inputs, half are ReLUs of random projections. Correlation, because accuracy
    is uninformative when one class dominates.
    """
    own = torch.Generator().manual_seed(0)
    features = _features(x, own)
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


def standardised(x: Tensor) -> Tensor:
    """Every feature with mean 0 and deviation 1; constant features become 0."""
    spread, mean = spread_and_mean(x)
    return (x - mean) / spread.where(spread > 0, torch.ones_like(spread))
