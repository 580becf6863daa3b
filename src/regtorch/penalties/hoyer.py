"""Hoyer's measures of sparsity, which do not change when a weight is scaled; so each is first brought near 1."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from regtorch.penalties.base import Penalty, nonzero, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["Hoyer", "HoyerSquare"]


class _OfNorms(Penalty):
    """λ times a function of Σ|w| and ‖w‖₂ of a whole weight."""

    @property
    def by_unit(self) -> bool:
        """No: the norms are those of the whole weight."""
        return False

    @abstractmethod
    def of_norms(self, l1: Tensor, l2: Tensor) -> Tensor:
        """The function, of a weight that is not 0."""

    @abstractmethod
    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        """Its derivatives by Σ|w| and by ‖w‖₂."""

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value; 0 of a weight that is 0."""
        check_real(self.name, w)
        v = wide(w)
        if not self.active or not v.numel():
            return zero(v)
        v = v / _size(v)
        return self.strengths["lam"] * self.of_norms(v.abs().sum(), nonzero(torch.linalg.vector_norm(v)))

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """By the chain rule from sign(w) and w/‖w‖₂; 0 of a weight that is 0."""
        v = wide(w.detach())
        if not v.numel():
            return torch.zeros_like(w)
        size = _size(v)
        v = v / size
        l2 = nonzero(torch.linalg.vector_norm(v))
        by_l1, by_l2 = self.slopes(v.abs().sum(), l2)
        return (self.strengths["lam"] * (by_l1 * v.sign() + (by_l2 / l2) * v) / size).to(w.dtype)


def _size(v: Tensor) -> Tensor:
    """The largest number, so that no square overflows, and none that counts vanishes."""
    return nonzero(v.detach().abs().amax())


class Hoyer(_OfNorms):
    """λ Σ|w| / ‖w‖₂: from λ, of one number that is not 0, to λ √n, of n equal ones (Hoyer 2004; Yang et al. 2020).

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
        """Σ|w| / ‖w‖₂."""
        return l1 / l2

    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        """1/‖w‖₂ and -Σ|w|/‖w‖₂²."""
        return 1 / l2, -l1 / l2.square()


class HoyerSquare(_OfNorms):
    """λ (Σ|w|)² / Σw²: near the number of numbers that are not 0 (Yang et al. 2020, "DeepHoyer").

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
        """(Σ|w|)² / ‖w‖₂²."""
        return (l1 / l2).square()

    def slopes(self, l1: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
        """2Σ|w|/‖w‖₂² and -2(Σ|w|)²/‖w‖₂³."""
        ratio = l1 / l2
        return 2 * ratio / l2, -2 * ratio.square() / l2
