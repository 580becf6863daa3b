"""Keras's activations that torch lacks: those of sparse probabilities, and squareplus."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"]


def sparse_plus(x: Tensor) -> Tensor:
    """0 up to -1, x from 1 on, (x + 1)² / 4 between."""
    return torch.where(x < 1, (x.clamp(-1, 1) + 1).square() / 4, x)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """0 up to -1, 1 from 1 on, (x + 1) / 2 between."""
    return torch.where(x <= -1, 0.0, torch.where(x >= 1, 1.0, 0.5 * (x + 1)))


def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """Keras's: its threshold is (Σ cumulated sums of the support - 1) / k, not (sum of the support - 1) / k."""
    values = x.sort(axis, descending=True).values
    sums = values.cumsum(axis)
    ranks = torch.arange(1, x.shape[axis] + 1, device=x.device, dtype=x.dtype)
    ranks = ranks.reshape([-1 if dim == axis % x.ndim else 1 for dim in range(x.ndim)])
    support = values - (sums - 1) / ranks > 0
    threshold = (sums.where(support, 0.0).sum(axis, keepdim=True) - 1) / support.sum(axis, keepdim=True)
    return (x - threshold).clamp(min=0)


def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + √(x² + b)) / 2."""
    return (x + (x.square() + b).sqrt()) / 2
