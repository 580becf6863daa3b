"""Constraints on the Euclidean norm of each unit; directions are kept."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import field

import torch
from torch import Tensor

from regtorch.checks import nonnegative, number
from regtorch.constraints.base import ROUNDING, Constraint
from regtorch.numerics.unit_norms import Units, check_dim, reduced, units
from regtorch.rule import Grain, wide
from regtorch.shapes import Float

__all__ = ["MaxNorm", "MinMaxNorm", "NormConstraint", "UnitNorm"]

_FEW = 4  # moving a quarter of the units, which are copied first, costs as much as moving all


class NormConstraint(Constraint):
    """A set defined by the Euclidean norm of each unit. Directions are kept; a zero unit stays zero.

    Args:
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: added to the norm in the denominator, 1e-7 in Keras; it slightly shrinks weights inside the set at
            every step, so the default is 0.
        select: which weights.
    """

    dim: int | Sequence[int] | None = field(default=None, kw_only=True)
    epsilon: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        epsilon = nonnegative(self.name, "epsilon", self.epsilon, "0 is the exact projection")
        self._set(epsilon=epsilon, dim=check_dim(self.name, self.dim))

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest norm in the set."""

    def nearest(self, norm: Tensor) -> Tensor:
        """The nearest norm in the set, clamped to the range of the dtype."""
        most = torch.finfo(norm.dtype).max
        low, high = self.bounds
        return norm.clamp(min(low, most) if low else None, min(high, most))

    def target(self, norm: Tensor) -> Tensor:
        """The norm after one application; `nearest`, unless the rule only moves part of the way."""
        return self.nearest(norm)

    @property
    def by_unit(self) -> bool:
        return self.dim is None

    @property
    def grain(self) -> Grain:
        return "unit"

    @property
    def by_norm(self) -> bool:
        own = type(self)
        return (own.__call__, own.project_) == (NormConstraint.__call__, NormConstraint.project_)

    def _units(self, w: Tensor) -> Units:
        dims = reduced(self.name, w, self.dim)
        if (low := self.bounds[0]) > 1 and low > torch.finfo(w.dtype).max:
            raise ValueError(f"{self!r}: no norm of {w.dtype} is in the set; lower the smallest norm")
        return units(w, dims)

    def _target(self, w: Tensor, found: Units) -> Tensor:
        """The target norm of each unit; its own norm, to the bit, for units that stay."""
        norm = found.length
        target = self.target(norm)
        if self.epsilon:
            return target
        # Units within rounding of the boundary stay, too, so that a second application changes nothing.
        precision = torch.finfo(w.dtype)
        rounding = ROUNDING[norm.dtype] * torch.finfo(norm.dtype).eps + precision.eps / 2
        near = norm.clamp(max=torch.finfo(norm.dtype).max) * rounding
        grain = precision.smallest_normal * precision.eps * math.sqrt(w.numel() / max(norm.numel(), 1)) / 2
        if grain > rounding * min(found.least, self.bounds[1]):  # the rounding of subnormal numbers
            near += target.clamp(max=grain)
        return torch.where((target - norm).abs() <= near, norm, target)

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`w` with each unit scaled to its target norm."""
        found = self._units(w)
        factor = self._factor(w, found)
        return self._far(w, found) if factor is None else (w * factor).to(w.dtype)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """One norm and one multiplication in place; copies the weight only if a norm is far from 1."""
        found = self._units(w)
        if found.within(*self.bounds) and not self.epsilon:
            return w
        factor = self._factor(w, found)
        if factor is None:
            return w.copy_(self._far(w, found))
        moved = (factor != 1).flatten()
        if self.dim is None and w.ndim > 1 and w.device.type == "cpu" and _FEW * int(moved.sum()) <= len(moved):
            rows = moved.nonzero().flatten()
            return w.index_copy_(0, rows, w[rows].mul_(factor[rows]))
        return w.mul_(factor)

    def _factor(self, w: Tensor, found: Units) -> Tensor | None:
        return found.enlarged(self.epsilon).factor(self._target(w, found), *self.bounds)

    def _far(self, w: Tensor, found: Units) -> Tensor:
        """The same without overflow, for norms far from 1."""
        target = self._target(w, found)
        moved = found.enlarged(self.epsilon).of_length(target).to(w.dtype)
        return moved if self.epsilon else torch.where(target == found.length, w, moved)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest |norm - nearest norm in the set| over the units."""
        norm = self._units(w).length
        distance = (norm - self.nearest(norm)).abs()
        return (distance.max() if norm.numel() else norm.sum()).to(wide(w).dtype)


class MaxNorm(NormConstraint):
    """Each unit's norm at most `max_value`, as Keras's `MaxNorm` (Srivastava et al. 2014, c = 2 to 4).

    Optimizer state is left alone: momentum buffers may keep pointing out of the set, as in Keras.

    Args:
        max_value: the largest norm allowed.
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Raises:
        TypeError: `max_value` is not a number.
        ValueError: `max_value` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.MaxNorm(1.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """

    max_value: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        max_value = nonnegative("MaxNorm", "max_value", self.max_value, "give the largest norm allowed, such as 3")
        self._set(max_value=max_value)

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, self.max_value


class UnitNorm(NormConstraint):
    """Each unit's norm is 1, as Keras's `UnitNorm`. A zero unit has no direction and stays zero.

    Args:
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.UnitNorm()(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    @property
    def bounds(self) -> tuple[float, float]:
        return 1.0, 1.0


class MinMaxNorm(NormConstraint):
    """Each unit's norm between `min_value` and `max_value`, as Keras's `MinMaxNorm`.

    Args:
        min_value: the smallest norm allowed (a zero unit has no direction and stays zero).
        max_value: the largest norm allowed.
        rate: the fraction of the distance to move at each step; only 1 is idempotent.
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Raises:
        TypeError: an argument is not a number.
        ValueError: a number is negative, infinite or NaN, `min_value` is above `max_value` or `rate` above 1; for a
            weight: `min_value` is out of range of its dtype.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.MinMaxNorm(min_value=1.0, max_value=2.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[1.2000, 1.6000],
                [0.6000, 0.8000]])
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("min_value", "max_value"):
            value = nonnegative("MinMaxNorm", argument, getattr(self, argument), "norms are not negative")
            self._set(**{argument: value})
        self._set(rate=number("MinMaxNorm", "rate", self.rate, low=0, high=1))
        if self.min_value > self.max_value:
            raise ValueError(
                f"MinMaxNorm: min_value must not exceed max_value, received {self.min_value} and {self.max_value}"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        return self.min_value, self.max_value

    def target(self, norm: Tensor) -> Tensor:
        """Rate · nearest + (1 - rate) · norm, in a form that keeps a norm inside the set exactly."""
        nearest = self.nearest(norm)
        return nearest if self.rate == 1 else norm + self.rate * (nearest - norm)
