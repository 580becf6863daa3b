"""Constraints on the sum of each unit: the l1 ball and the simplex, by exact Euclidean projection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import field

import torch
from torch import Tensor

from regtorch.checks import nonnegative
from regtorch.constraints.base import ROUNDING, Constraint
from regtorch.numerics.unit_norms import as_rows, check_dim, from_rows, nonzero, reduced
from regtorch.rule import Grain, wide
from regtorch.shapes import Float

__all__ = ["L1Ball", "Simplex"]


class _Summed(Constraint):
    """A set defined by the sum of each unit."""

    dim: int | Sequence[int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(dim=check_dim(self.name, self.dim))

    @property
    def by_unit(self) -> bool:
        return self.dim is None

    @property
    def grain(self) -> Grain:
        return "unit"

    @property
    @abstractmethod
    def _total(self) -> float:
        """The sum on the boundary of the set."""

    @abstractmethod
    def _inside(self, rows: Tensor, rounding: float) -> Tensor:
        """Whether each row is in the set; `rounding` bounds the rounding error of a sum on the boundary."""

    @abstractmethod
    def _nearest(self, rows: Tensor) -> Tensor:
        """The nearest point of the set to each row outside it."""

    def _rows(self, w: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """One row per unit, in float64 if the device has it, so that long sums are exact to float32."""
        dims = reduced(self.name, w, self.dim)
        return as_rows(wide(w) if w.device.type == "mps" else w.double(), dims), dims

    def _moved(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """The rows mapped into the set; rows inside, up to the rounding of `dtype`, stay unchanged."""
        info, own = torch.finfo(rows.dtype), torch.finfo(dtype)
        relative = ROUNDING[rows.dtype] * info.eps + (own.eps / 2 if dtype != rows.dtype else 0.0)
        grain = own.smallest_normal * own.eps * rows.shape[-1] / 2  # of subnormal numbers
        inside = self._inside(rows.detach(), relative * self._total + grain)
        return torch.where(inside, rows, self._nearest(rows))

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The Euclidean projection of each unit, by sorting (Duchi et al. 2008)."""
        rows, dims = self._rows(w)
        return from_rows(self._moved(rows, w.dtype), dims, w.shape).to(w.dtype) if w.numel() else w.clone()

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest Euclidean distance of a unit from the set."""
        rows, _ = self._rows(w)
        if not w.numel():
            return wide(w).sum()
        there = rows > -torch.inf  # masked-out elements
        way = torch.where(there, rows - self._moved(rows, w.dtype), 0.0)
        return torch.linalg.vector_norm(way, dim=-1).max().to(wide(w).dtype)


class L1Ball(_Summed):
    """Each unit has Σ|w| ≤ radius: projection makes small elements exactly zero (Duchi et al. 2008).

    Args:
        radius: the largest Σ|w| of a unit, in units of weight.
        dim: the dims of one unit, in torch's layout; None means all but the output unit's.
        select: which weights.

    Raises:
        TypeError: `radius` is not a number, or `dim` is neither None, an int nor several.
        ValueError: `radius` is negative, infinite or NaN; for a weight: it lacks a dim.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.L1Ball(1.0)(torch.tensor([[1.0, -0.5, 0.1], [0.2, 0.3, 0.1]]))
        tensor([[ 0.7500, -0.2500,  0.0000],
                [ 0.2000,  0.3000,  0.1000]])
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(radius=nonnegative("L1Ball", "radius", self.radius, "give the largest Σ|w| of a unit, such as 1"))

    @property
    def _total(self) -> float:
        return self.radius

    def _inside(self, rows: Tensor, rounding: float) -> Tensor:
        return rows.abs().sum(-1, keepdim=True) <= self.radius + rounding

    def _nearest(self, rows: Tensor) -> Tensor:
        return rows.sign() * _on_simplex(rows.abs(), self.radius)


class Simplex(_Summed):
    """Each unit has w ≥ 0 and Σw = total: the weights are proportions (Held, Wolfe & Crowder 1974).

    Args:
        total: the sum of each unit.
        dim: the dims of one unit, in torch's layout; None means all but the output unit's.
        select: which weights.

    Raises:
        TypeError: `total` is not a number, or `dim` is neither None, an int nor several.
        ValueError: `total` is negative, infinite or NaN; for a weight: it lacks a dim.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.Simplex()(torch.tensor([[1.0, -0.5, 0.5], [0.2, 0.3, 0.5]]))
        tensor([[0.7500, 0.0000, 0.2500],
                [0.2000, 0.3000, 0.5000]])
    """

    total: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(total=nonnegative("Simplex", "total", self.total, "give the sum of each unit, such as 1"))

    @property
    def neutral(self) -> float:
        """Minus infinity, which projects to 0."""
        return -torch.inf

    @property
    def _total(self) -> float:
        return self.total

    def _inside(self, rows: Tensor, rounding: float) -> Tensor:
        shares = rows.clamp(min=0)
        least = ((rows >= 0) | (rows == self.neutral)).all(-1, keepdim=True)
        return least & ((shares.sum(-1, keepdim=True) - self.total).abs() <= rounding)

    def _nearest(self, rows: Tensor) -> Tensor:
        return _on_simplex(rows, self.total)


def _on_simplex(rows: Tensor, total: float) -> Tensor:
    """max(w - t, 0) for each row, with t such that the row sums to `total`.

    Rows are shifted by their maximum first, which keeps precision if elements are far above `total`.
    """
    top = rows.amax(-1, keepdim=True)
    below = (rows - top.where(top > -torch.inf, 0.0)).clamp(min=-total)  # anything lower projects to 0 as well
    falling = below.detach().sort(-1, descending=True).values
    count = torch.arange(1, rows.shape[-1] + 1, dtype=rows.dtype, device=rows.device)
    support = (falling * count > falling.cumsum(-1) - total).sum(-1, keepdim=True).clamp(min=1)
    positive = below >= falling.gather(-1, support - 1)
    t = ((below * positive).sum(-1, keepdim=True) - total) / positive.sum(-1, keepdim=True)
    projected = (below - t).clamp(min=0)
    return projected * (total / nonzero(projected.sum(-1, keepdim=True)))
