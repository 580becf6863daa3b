"""Total variation: neighbours along a dim become equal; with L1 beside it the fused lasso."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import ClassVar

import torch
from torch import Tensor

from regtorch.numerics.norms import check_shape
from regtorch.penalties.base import Penalty, zero
from regtorch.penalties.elementwise import L1
from regtorch.penalties.levels import smoothed
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["FusedLasso", "TotalVariation"]


class _Variation(Penalty):
    """l1 Σ|w| + λ Σ |wᵢ₊₁ - wᵢ| along a dim."""

    one_step_size: ClassVar[bool] = True

    _mask: ClassVar[Tensor | None] = None  # of a part: where both neighbours are in it they are compared

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
        """No: `dim` names the dim itself."""
        return False

    def within(self, mask: Tensor) -> Penalty:
        """Of the numbers of a part, and of neighbours that are both in it."""
        made = copy(self)
        made._set(_mask=mask)
        return made

    def _part(self, w: Tensor) -> Tensor:
        """`w` in at least float32, with 0 outside the part."""
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
        """1 where two neighbours are compared, 0 elsewhere."""
        if self._mask is None:
            return torch.ones_like(like)
        dim = self._settings[2]
        first, second = (self._mask.narrow(dim, at, like.shape[dim]) for at in (0, 1))
        return (first & second).to(like)

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value; its gradient at equal neighbours, and of |w| at 0, is 0."""
        part = self._part(w)
        if not self.active:
            return zero(part)
        l1, lam, dim = self._settings
        steps = part.diff(dim=dim)
        value = lam * torch.where(self._links(steps) > 0, steps, 0.0).abs().sum()
        return value + l1 * part.abs().sum() if l1 else value

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ times the sign of the step before minus that of the step behind, plus l1 sign(w)."""
        part = self._part(w.detach())
        l1, lam, dim = self._settings
        steps = part.diff(dim=dim)
        signs = steps.sign() * self._links(steps) * lam
        edge = torch.zeros_like(part.narrow(dim, 0, min(1, w.shape[dim])))
        g = torch.cat([edge, signs], dim).sub_(torch.cat([signs, edge], dim))
        return (g.add_(part.sign(), alpha=l1) if l1 else g).to(w.dtype)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Exactly, by level sets, then soft thresholding (Friedman et al. 2007), with one step size for the weight.

        Raises:
            TypeError: a step size for each coordinate, as under Adam: for these no step is written.
        """
        if isinstance(step, Tensor) and step.ndim:
            raise TypeError(f"{self.name} has no proximal step with a step size for each coordinate; use SGD")
        part = self._part(w.detach())
        l1, lam, dim = self._settings
        links = self._links(part.diff(dim=dim)) * (step * lam)
        new = smoothed(part.movedim(dim, -1), links.movedim(dim, -1)).movedim(-1, dim)
        new = L1(l1).prox(new, step).to(w.dtype)
        return new if self._mask is None else torch.where(self._mask.to(w.device), new, w.detach())


class TotalVariation(_Variation):
    """λ Σ |wᵢ₊₁ - wᵢ| along a dim (Rudin et al. 1992): pieces of equal numbers.

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
    """l1 Σ|w| + λ Σ |wᵢ₊₁ - wᵢ| along a dim: pieces of equal numbers, most of them 0 (Tibshirani et al. 2005).

    Args:
        l1: the strength of Σ|w|, in units of loss per unit of weight.
        lam: the strength λ of the steps between neighbours.
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
        """Total variation, then L1, of strength 1: the order of their proximal steps."""
        variation = TotalVariation(1.0, self.dim, select=self.select)
        return [(variation, self.lam), (L1(1.0, select=self.select), self.l1)]
