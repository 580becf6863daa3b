"""Total variation makes neighbours along a dim equal; together with L1 it is the fused lasso."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import ClassVar

import torch
from torch import Tensor

from regtorch.numerics.unit_norms import check_shape
from regtorch.penalties.base import Penalty, check_one_step, zero
from regtorch.penalties.elementwise import L1
from regtorch.penalties.levels import smoothed
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["FusedLasso", "TotalVariation"]


class _Variation(Penalty):
    """l1 Σ|w| + λ Σ |wᵢ₊₁ - wᵢ| along a dim, the base class of both."""

    one_step_size: ClassVar[bool] = True

    _mask: ClassVar[Tensor | None] = None  # only neighbours that are both in it are compared

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(dim := self._settings[2]) is not int:
            raise TypeError(f"{self.name}: dim must be an int, received {dim!r}")

    @property
    @abstractmethod
    def _settings(self) -> tuple[float, float, int]:
        """The strengths l1 and λ, and the dim."""

    @property
    def by_unit(self) -> bool:
        return False

    def within(self, mask: Tensor) -> Penalty:
        masked = copy(self)
        masked._set(_mask=mask)
        return masked

    def _part(self, w: Tensor) -> Tensor:
        """`w` in at least float32, with 0 outside the mask."""
        check_real(self.name, w)
        if not -w.ndim <= (dim := self._settings[2]) < w.ndim:
            raise ValueError(
                f"{self.name}: dim must name a dim of the weight, received dim={dim} for a weight of shape "
                f"{tuple(w.shape)}"
            )
        if self._mask is not None:
            check_shape(self.name, w, "mask", self._mask)
        return wide(w) if self._mask is None else torch.where(self._mask.to(w.device), wide(w), 0.0)

    def _links(self, like: Tensor) -> Tensor:
        """1 for each compared pair of neighbours, 0 elsewhere."""
        if self._mask is None:
            return torch.ones_like(like)
        dim = self._settings[2]
        first, second = (self._mask.narrow(dim, at, like.shape[dim]) for at in (0, 1))
        return (first & second).to(like)

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value; its gradient is 0 at equal neighbours, and that of |w| is 0 at 0."""
        part = self._part(w)
        if not self.active:
            return zero(part)
        l1, lam, dim = self._settings
        steps = part.diff(dim=dim)
        value = lam * torch.where(self._links(steps) > 0, steps, 0.0).abs().sum()
        return value + l1 * part.abs().sum() if l1 else value

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ (sign(wᵢ - wᵢ₋₁) - sign(wᵢ₊₁ - wᵢ)) + l1 sign(w)."""
        part = self._part(w.detach())
        l1, lam, dim = self._settings
        steps = part.diff(dim=dim)
        signs = steps.sign() * self._links(steps) * lam
        edge = torch.zeros_like(part.narrow(dim, 0, min(1, w.shape[dim])))
        g = torch.cat([edge, signs], dim).sub_(torch.cat([signs, edge], dim))
        return (g.add_(part.sign(), alpha=l1) if l1 else g).to(w.dtype)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Exact, by level sets and then soft thresholding (Friedman et al. 2007); `step` must be one number."""
        check_one_step(self.name, step)
        part = self._part(w.detach())
        l1, lam, dim = self._settings
        links = self._links(part.diff(dim=dim)) * (step * lam)
        new = smoothed(part.movedim(dim, -1), links.movedim(dim, -1)).movedim(-1, dim)
        new = L1(l1).prox(new, step).to(w.dtype)
        return new if self._mask is None else torch.where(self._mask.to(w.device), new, w.detach())


class TotalVariation(_Variation):
    """λ Σ |wᵢ₊₁ - wᵢ| along a dim (Rudin et al. 1992): piecewise constant weights.

    Args:
        lam: the strength λ, in units of loss per unit of weight.
        dim: the dim whose neighbours are compared, in torch's layout.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number, `dim` not an int.
        ValueError: `lam` is negative, infinite or NaN; of a weight: it has no such dim.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.TotalVariation(0.1)(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor(0.3000)
    """

    lam: float = 0.01
    dim: int = -1

    @property
    def _settings(self) -> tuple[float, float, int]:
        return 0.0, self.lam, self.dim


class FusedLasso(_Variation):
    """l1 Σ|w| + λ Σ |wᵢ₊₁ - wᵢ| along a dim: piecewise constant and sparse weights (Tibshirani et al. 2005).

    Args:
        l1: the strength of Σ|w|, in units of loss per unit of weight.
        lam: the strength λ of the differences between neighbours.
        dim: the dim whose neighbours are compared, in torch's layout.
        select: which weights.

    Raises:
        TypeError: a strength is not a number, `dim` not an int.
        ValueError: a strength is negative, infinite or NaN; of a weight: it has no such dim.

    Example:
        >>> import torch, regtorch as rt
        >>> rule = rt.FusedLasso(0.1, 0.1)
        >>> rule(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor(0.9000)
        >>> rule.prox(torch.tensor([1.0, 1.1, 0.05, 0.0]), 1.0)
        tensor([0.9000, 0.9000, 0.0000, 0.0000])
    """

    l1: float = 0.01
    lam: float = 0.01
    dim: int = -1

    @property
    def _settings(self) -> tuple[float, float, int]:
        return self.l1, self.lam, self.dim

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        """In the order of their proximal steps."""
        variation = TotalVariation(1.0, self.dim, select=self.select)
        return [(variation, self.lam), (L1(1.0, select=self.select), self.l1)]
