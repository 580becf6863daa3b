"""Constraints on each number by itself: between two bounds, or not below 0."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from regtorch.checks import number
from regtorch.constraints.base import Constraint
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["Box", "NonNeg"]


class _Bounds(Constraint):
    """Every number between two bounds."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float | None, float | None]:
        """The smallest and the largest number in the set; None where there is no bound."""

    @property
    def neutral(self) -> float:
        """The number in the set that is nearest to 0."""
        low, high = self.bounds
        return max(0.0 if low is None else low, 0.0) if high is None or high >= 0 else high

    def _reached(self, w: Tensor) -> tuple[float | None, float | None]:
        """The bounds among the numbers of the dtype of `w`."""
        check_real(self.name, w)
        low, high = self.bounds
        most = torch.finfo(w.dtype).max
        if (low is not None and low > most) or (high is not None and high < -most):
            raise ValueError(f"{self!r}: no number of {w.dtype} reaches the set, as its largest is {most:g}")
        return (
            low if low is None or low >= -most else None,
            high if high is None or high <= most else None,
        )

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The nearest number between the bounds, element by element, each bound rounded to the dtype of `w`."""
        low, high = self._reached(w)
        return w.clone() if low is None and high is None else w.clamp(low, high)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same in place."""
        low, high = self._reached(w)
        return w if low is None and high is None else w.clamp_(low, high)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """How far the number lies outside that lies farthest."""
        outside = torch.where(w == (inside := self(w)), 0.0, (wide(w) - wide(inside)).abs())
        return outside.max() if outside.numel() else outside.sum()


class Box(_Bounds):
    """low ≤ w ≤ high, number by number (with low = -high the weight clipping of Arjovsky et al. 2017).

    Args:
        low: the smallest number allowed; None, or minus infinity, sets no bound.
        high: the largest; None, or infinity, sets no bound.
        select: which weights.

    Raises:
        TypeError: a bound is neither a number nor None.
        ValueError: a bound is NaN or the other infinity, or `low` is above `high`; of a weight: a bound lies beyond
            every number of its dtype.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.Box(-0.5, 1.0)(torch.tensor([-2.0, 0.25, 3.0]))
        tensor([-0.5000,  0.2500,  1.0000])
    """

    low: float | None = -1.0
    high: float | None = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = _bound("low", self.low, -math.inf), _bound("high", self.high, math.inf)
        if low is not None and high is not None and low > high:
            raise ValueError(f"Box: low must not exceed high, received {low} and {high}")
        self._set(low=low, high=high)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """(low, high)."""
        return self.low, self.high


def _bound(argument: str, value: float | None, none: float) -> float | None:
    """The bound as a float; None where it is the infinity that bounds nothing."""
    if value is None or (isinstance(value, float) and value == none):
        return None
    return number("Box", argument, value, "give None for no bound on this side")


class NonNeg(_Bounds):
    """No number below 0, as Keras's `NonNeg`.

    Args:
        select: which weights.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.NonNeg()(torch.tensor([1.0, -2.0]))
        tensor([1., 0.])
    """

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """(0, None)."""
        return 0.0, None
