"""L1, L2, their sum and the elastic net: penalties of each element by itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import ClassVar, Self

import torch
from torch import Tensor

from regtorch.checks import nonnegative, number
from regtorch.conventions import convert
from regtorch.numerics.gradients import add_many_
from regtorch.penalties.base import Penalty, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["L1", "L1L2", "L2", "ElasticNet", "Elementwise"]


class Elementwise(Penalty):
    """l1 Σ|w| + l2 Σw², the base class of L1, L2, L1L2 and ElasticNet."""

    prox_keeps_signs: ClassVar[bool] = True
    separable: ClassVar[bool] = True

    @property
    def by_unit(self) -> bool:
        return False

    @property
    @abstractmethod
    def coefficients(self) -> tuple[float, float]:
        """The strengths (l1, l2)."""

    @property
    def weight_decay(self) -> float | None:
        l1, l2 = self.coefficients
        return None if l1 else 2 * l2

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        l1, l2 = self.coefficients
        return [(L1(1.0, select=self.select), l1), (L2(1.0, select=self.select), l2)]

    def __call__(self, w: Float[Tensor, "..."]) -> Float[Tensor, ""]:
        """The value; exactly 0 at strength 0, even for infinite weights."""
        check_real(self.name, w)
        l1, l2 = self.coefficients
        w = wide(w)
        if not l1:
            return l2 * w.square().sum() if l2 else zero(w)
        value = l1 * w.abs().sum()
        return value + l2 * w.square().sum() if l2 else value

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """l1 sign(w) + 2·l2·w."""
        l1, l2 = self.coefficients
        v = wide(w.detach())
        if not l1:
            return (v * (2 * l2)).to(w.dtype)
        g = v.sign().mul_(l1)
        return (g.add_(v, alpha=2 * l2) if l2 else g).to(w.dtype)

    @torch.no_grad()
    def add_grad_(self, w: Float[Tensor, "*shape"], into: Float[Tensor, "*shape"], factor: float | Tensor) -> None:
        l1, l2 = self.coefficients
        if l1 or not isinstance(factor, Tensor) or not factor.ndim or not w.dtype == into.dtype == factor.dtype:
            super().add_grad_(w, into, factor)
        else:  # a strength for each row, as in a path: in one pass
            into.addcmul_(w.detach(), factor, value=2 * l2)

    def add_grads_(self, weights: Sequence[Tensor], into: Sequence[Tensor], factor: float) -> None:
        add_many_(weights, into, *self.coefficients, factor)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Soft thresholding by step·l1, then division by 1 + 2·step·l2."""
        l1, l2 = self.coefficients
        v = wide(w.detach())
        if l1:
            v = v.sign() * (v.abs() - step * l1).clamp(min=0)
        return (v / (1 + step * (2 * l2)) if l2 else v).to(w.dtype)


class L1(Elementwise):
    """λ Σ|w|, as Keras's `L1`.

    Args:
        lam: the strength λ, in units of loss per unit of weight. Its gradient is λ sign(w), and 0 at 0.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.L1(0.1)(torch.tensor([1.0, -2.0]))
        tensor(0.3000)
    """

    lam: float = 0.01

    @property
    def coefficients(self) -> tuple[float, float]:
        return self.lam, 0.0

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest |g|."""
        return g.abs().max()


class L2(Elementwise):
    """λ Σw², without a ½, as Keras's `L2`; `regtorch.convert` turns other conventions into this one.

    Args:
        lam: the strength λ, in units of loss per squared unit of weight. Its gradient is 2λw.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.L2(0.1)(torch.tensor([1.0, -2.0]))
        tensor(0.5000)
    """

    lam: float = 0.01

    @property
    def coefficients(self) -> tuple[float, float]:
        """(0, lam)."""
        return 0.0, self.lam


class L1L2(Elementwise):
    """l1 Σ|w| + l2 Σw², as Keras's `L1L2` (the elastic net).

    Args:
        l1: strength of Σ|w|.
        l2: strength of Σw².
        select: which weights.

    Raises:
        TypeError: a strength is not a number.
        ValueError: a strength is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.L1L2(l1=0.1, l2=0.1)(torch.tensor([1.0, -2.0]))
        tensor(0.8000)
    """

    l1: float = 0.0
    l2: float = 0.0

    @property
    def coefficients(self) -> tuple[float, float]:
        return self.l1, self.l2

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The l1: the largest |g|, whatever l2 is."""
        return g.abs().max()


class ElasticNet(Elementwise):
    """α·l1_ratio Σ|w| + ½ α (1 - l1_ratio) Σw²: `L1L2` in scikit-learn's parameters (Zou & Hastie 2005).

    With half the mean squared error as loss, as in scikit-learn's `ElasticNet` and `Lasso`, α and l1_ratio mean the
    same as there. With `nn.MSELoss`, which has no ½, the equivalent penalty is twice as strong:
    `rt.L1L2(*rt.convert((alpha, l1_ratio), "sklearn.ElasticNet", "keras"))`.

    Args:
        alpha: the strength α.
        l1_ratio: the fraction of Σ|w|, from 0 to 1; 1 is the lasso.
        select: which weights.

    Raises:
        TypeError: an argument is not a number.
        ValueError: `alpha` is negative, infinite or NaN, or `l1_ratio` is not between 0 and 1.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.ElasticNet(0.1, 0.5)(torch.tensor([1.0, -2.0]))  # 0.05 · 3 + 0.025 · 5
        tensor(0.2750)
    """

    alpha: float = 0.01
    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        alpha = nonnegative(self.name, "alpha", self.alpha)
        l1_ratio = number(self.name, "l1_ratio", self.l1_ratio, "give the fraction of Σ|w|", low=0, high=1)
        l1, l2 = convert((1.0, l1_ratio), "sklearn.ElasticNet", "keras")  # for a loss without the ½
        self._set(alpha=alpha, l1_ratio=l1_ratio, _coefficients=(alpha * (l1 / 2), alpha * (l2 / 2)))

    @property
    def strengths(self) -> dict[str, float]:
        return {"alpha": self.alpha}

    @property
    def coefficients(self) -> tuple[float, float]:
        return self.__dict__["_coefficients"]

    def scaled(self, factor: float) -> Self:
        scaled = copy(self)
        l1, l2 = self.coefficients
        scaled._set(alpha=factor * self.alpha, _coefficients=(factor * l1, factor * l2))
        return scaled

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The α: the largest |g| over l1_ratio."""
        if not self.l1_ratio:
            raise TypeError(f"{self!r} makes no zeros: l1_ratio must be above 0, received 0; give some of Σ|w|")
        return g.abs().max() / self.l1_ratio
