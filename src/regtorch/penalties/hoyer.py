"""Hoyer's sparsity measures. They are invariant to scale, so each weight is first scaled to a maximum of 1."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from regtorch.numerics.unit_norms import nonzero
from regtorch.penalties.base import Penalty, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["Hoyer", "HoyerSquare"]


class _OfNorms(Penalty):
    """λ times a function of Σ|w| and ‖w‖₂, taken over the entire weight."""

    @property
    def by_unit(self) -> bool:
        return False

    @abstractmethod
    def of_norms(self, l1: Tensor, l2: Tensor) -> Tensor:
        """The function, for a nonzero weight."""

    @abstractmethod
    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        """Its derivatives with respect to Σ|w| and ‖w‖₂."""

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value; 0 for a zero weight."""
        check_real(self.name, w)
        v = wide(w)
        if not self.active or not v.numel():
            return zero(v)
        v = v / _size(v)
        return self.strengths["lam"] * self.of_norms(v.abs().sum(), nonzero(torch.linalg.vector_norm(v)))

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """By the chain rule from sign(w) and w/‖w‖₂; 0 for a zero weight."""
        v = wide(w.detach())
        if not v.numel():
            return torch.zeros_like(w)
        size = _size(v)
        v = v / size
        l2 = nonzero(torch.linalg.vector_norm(v))
        by_l1, by_l2 = self.slopes(v.abs().sum(), l2)
        return (self.strengths["lam"] * (by_l1 * v.sign() + (by_l2 / l2) * v) / size).to(w.dtype)


def _size(v: Tensor) -> Tensor:
    """The largest absolute value: dividing by it keeps squares from overflowing or underflowing."""
    return nonzero(v.detach().abs().amax())


class Hoyer(_OfNorms):
    """λ Σ|w| / ‖w‖₂: from λ for a single nonzero to λ √n for n equal numbers (Hoyer 2004; Yang et al. 2020).

    Args:
        lam: the strength λ, in units of loss.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.Hoyer(1.0)(torch.tensor([3.0, 4.0]))
        tensor(1.4000)
    """

    lam: float = 0.01

    def of_norms(self, l1: Tensor, l2: Tensor) -> Tensor:
        return l1 / l2

    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        return 1 / l2, -l1 / l2.square()


class HoyerSquare(_OfNorms):
    """λ (Σ|w|)² / Σw²: approximately λ times the number of nonzeros (Yang et al. 2020, "DeepHoyer").

    Args:
        lam: the strength λ, in units of loss.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.HoyerSquare(1.0)(torch.tensor([3.0, 4.0]))
        tensor(1.9600)
    """

    lam: float = 0.01

    def of_norms(self, l1: Tensor, l2: Tensor) -> Tensor:
        return (l1 / l2).square()

    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        ratio = l1 / l2
        return 2 * ratio / l2, -2 * ratio.square() / l2
