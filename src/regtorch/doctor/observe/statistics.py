"""Means and sizes of tensors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["root_mean_square", "spread_and_mean"]


def spread_and_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """The deviation and mean of every feature over samples; `torch.std_mean` along dim 0 is much slower."""
    mean = x.mean(0)
    return (x - mean).square_().mean(0).sqrt(), mean


def root_mean_square(x: Tensor) -> float:
    """The root mean square of all numbers."""
    return float(torch.linalg.vector_norm(x, dtype=torch.float64) / x.numel() ** 0.5)
