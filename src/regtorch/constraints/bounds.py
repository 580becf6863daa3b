"""Constraints on each element: between two bounds, or nonnegative."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from regtorch.checks import number
from regtorch.constraints.base import Constraint
from regtorch.rule import Grain, check_real, wide
from regtorch.shapes import Float

__all__ = ["Box", "NonNeg"]


class _Bounds(Constraint):
    """Every element between two bounds."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float | None, float | None]:
        """The lower and the upper bound; None for no bound."""

    @property
    def grain(self) -> Grain:
        return "element"

    @property
    def neutral(self) -> float:
        """The element of the set nearest to 0."""
        low, high = self.bounds
        return max(0.0 if low is None else low, 0.0) if high is None or high >= 0 else high

    def _reached(self, w: Tensor) -> tuple[float | None, float | None]:
        """The bounds, without those that the dtype of `w` cannot exceed."""
        check_real(self.name, w)
        low, high = self.bounds
        most = torch.finfo(w.dtype).max
        if (low is not None and low > most) or (high is not None and high < -most):
            raise ValueError(
                f"{self!r}: no number of {w.dtype} is in the set, its largest is {most:g}; move the bounds"
            )
        low = None if low is not None and low < -most else low
        return low, None if high is not None and high > most else high

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Clamps each element; the bounds are rounded to the dtype of `w`."""
        low, high = self._reached(w)
        return w.clone() if low is None and high is None else w.clamp(low, high)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        low, high = self._reached(w)
        return w if low is None and high is None else w.clamp_(low, high)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of an element from the bounds."""
        outside = torch.where(w == (inside := self(w)), 0.0, (wide(w) - wide(inside)).abs())
        return outside.max() if outside.numel() else outside.sum()


class Box(_Bounds):
    """low ≤ w ≤ high, element by element (with low = -high the weight clipping of Arjovsky et al. 2017).

    Args:
        low: the lower bound; None or minus infinity for none.
        high: the upper bound; None or infinity for none.
        select: which weights.

    Raises:
        TypeError: a bound is neither a number nor None.
        ValueError: a bound is NaN or the wrong infinity, or `low` is above `high`; for a weight: no number of its dtype
            is in the set.

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
        return self.low, self.high


def _bound(argument: str, value: float | None, none: float) -> float | None:
    """The bound as a float; None for the infinity `none`, which bounds nothing."""
    if value is None or (isinstance(value, float) and value == none):
        return None
    return number("Box", argument, value, "give None for no bound on this side")


class NonNeg(_Bounds):
    """w ≥ 0, element by element, as Keras's `NonNeg`.

    Args:
        select: which weights.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.NonNeg()(torch.tensor([1.0, -2.0]))
        tensor([1., 0.])
    """

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return 0.0, None
