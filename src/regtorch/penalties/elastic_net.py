"""The elastic net by scikit-learn's two numbers."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from torch import Tensor

from regtorch.checks import nonnegative, number
from regtorch.conventions import convert
from regtorch.penalties.elementwise import Elementwise

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["ElasticNet"]


@dataclass(frozen=True, repr=False)
class ElasticNet(Elementwise):
    """α·l1_ratio Σ|w| + ½ α (1 - l1_ratio) Σw²: `L1L2` by scikit-learn's two numbers (Zou & Hastie 2005).

    Beside half a mean of squared errors, which is what scikit-learn's `ElasticNet` and `Lasso` minimise, α and l1_ratio
    mean the same as there. Beside `nn.MSELoss`, which has no ½, their equal is twice as much:
    `rt.L1L2(*rt.convert((alpha, l1_ratio), "sklearn.ElasticNet", "keras"))`.

    Args:
        alpha: the strength α.
        l1_ratio: the share of Σ|w|, from 0 to 1; 1 is the lasso.
        select: which weights.

    Raises:
        TypeError: an argument is not a number.
        ValueError: `alpha` is negative, infinite or NaN, or `l1_ratio` does not lie between 0 and 1.

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
        l1_ratio = number(self.name, "l1_ratio", self.l1_ratio, "give the share of Σ|w|", low=0, high=1)
        l1, l2 = convert((1.0, l1_ratio), "sklearn.ElasticNet", "keras")  # beside a mean without the ½
        self._set(alpha=alpha, l1_ratio=l1_ratio, _coefficients=(alpha * (l1 / 2), alpha * (l2 / 2)))

    @property
    def strengths(self) -> dict[str, float]:
        """α."""
        return {"alpha": self.alpha}

    @property
    def coefficients(self) -> tuple[float, float]:
        """(α·l1_ratio, ½ α (1 - l1_ratio))."""
        return self.__dict__["_coefficients"]

    def scaled(self, factor: float) -> Self:
        """The same with another α."""
        made = copy(self)
        l1, l2 = self.coefficients
        made._set(alpha=factor * self.alpha, _coefficients=(factor * l1, factor * l2))
        return made

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The α that does: the largest |g| over l1_ratio.

        Raises:
            TypeError: `l1_ratio` is 0, as Σw² makes no zeros.
        """
        if not self.l1_ratio:
            raise TypeError(f"{self!r} makes no zeros, as its l1_ratio is 0")
        return g.abs().max() / self.l1_ratio
