"""Keras's noise layers that torch lacks, and dropouts under their Keras names. All act in training mode only.

Inputs are channels first, as everywhere in torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regtorch.checks import nonnegative, number, share
from regtorch.shapes import Float

__all__ = [
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


def _rate(layer: nn.Module, rate: float) -> float:
    return number(type(layer).__name__, "rate", rate, "give the fraction to drop", low=0, high=1)


class _SpatialDropout(nn.Module):
    """Drops entire channels, one draw per sample and channel; scales the rest by 1 / (1 - rate)."""

    ndim: int

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = _rate(self, rate)

    def forward(self, x: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch channels *size"]:
        """Drop channels of `x`; a ValueError for another number of dims, where torch silently drops something else."""
        if x.ndim != self.ndim:
            raise ValueError(
                f"{type(self).__name__}: x must have {self.ndim} dims (batch, channels, …), received {tuple(x.shape)}"
            )
        return torch.feature_dropout(x, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class SpatialDropout1D(_SpatialDropout):
    """Keras's `SpatialDropout1D` on (batch, channels, steps).

    Args:
        rate: the fraction of channels to drop.

    Example:
        >>> import torch
        >>> SpatialDropout1D(1.0)(torch.ones(1, 2, 3)).sum()
        tensor(0.)
    """

    ndim = 3


class SpatialDropout2D(_SpatialDropout):
    """Keras's `SpatialDropout2D` on (batch, channels, height, width).

    Args:
        rate: the fraction of channels to drop.

    Example:
        >>> import torch
        >>> SpatialDropout2D(0.5).eval()(torch.ones(1, 2, 3, 3)).sum()
        tensor(18.)
    """

    ndim = 4


class SpatialDropout3D(_SpatialDropout):
    """Keras's `SpatialDropout3D` on (batch, channels, depth, height, width).

    Args:
        rate: the fraction of channels to drop.

    Example:
        >>> import torch
        >>> SpatialDropout3D(0.0)(torch.ones(1, 1, 2, 2, 2)).sum()
        tensor(8.)
    """

    ndim = 5


class GaussianDropout(nn.Module):
    """x · N(1, rate / (1 - rate)): noise with the variance of dropout (Srivastava et al. 2014, §10).

    Args:
        rate: as in dropout, below 1 (at 1 the variance is infinite: Keras 2 then does nothing, Keras 3 divides by 0).

    Raises:
        ValueError: `rate` is not in [0, 1).

    Example:
        >>> import torch
        >>> GaussianDropout(0.0)(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = share("GaussianDropout", "rate", rate, "at 1 the variance is infinite", zero=True)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Multiply `x` by noise."""
        if not (self.training and self.rate):
            return x
        return x * (1 + (self.rate / (1 - self.rate)) ** 0.5 * torch.randn_like(x))

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class GaussianNoise(nn.Module):
    """x + N(0, stddev²).

    Args:
        stddev: the standard deviation (Keras 3 refuses more than 1; Keras 2 and this class do not).

    Raises:
        ValueError: `stddev` is negative, infinite or NaN.

    Example:
        >>> import torch
        >>> GaussianNoise(0.0)(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = nonnegative("GaussianNoise", "stddev", stddev)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Add noise to `x`."""
        return x + self.stddev * torch.randn_like(x) if self.training and self.stddev else x

    def extra_repr(self) -> str:
        return f"stddev={self.stddev}"


class AlphaDropout(nn.AlphaDropout):
    """Keras's `AlphaDropout`, which keeps the mean and variance of selu's outputs; the same formula as torch's.

    Args:
        rate: the fraction of elements to set to selu's negative limit.

    Example:
        >>> import torch
        >>> AlphaDropout(0.5).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, rate: float) -> None:
        super().__init__(_rate(self, rate))
