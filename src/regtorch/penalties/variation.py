"""Total variation: neighbours along a dim become equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from regtorch.penalties.base import Penalty, zero
from regtorch.rule import check_real, wide

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["TotalVariation"]


@dataclass(frozen=True, repr=False)
class TotalVariation(Penalty):
    """λ Σ |wᵢ₊₁ - wᵢ| along a dim (Rudin et al. 1992); beside `L1` it is the fused lasso (Tibshirani et al. 2005).

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.dim) is not int:
            raise TypeError(f"TotalVariation: dim must be an int, received {self.dim!r}")

    @property
    def by_unit(self) -> bool:
        """No: `dim` names the dim itself."""
        return False

    def _steps(self, w: Tensor) -> Tensor:
        check_real(self.name, w)
        if not -w.ndim <= self.dim < w.ndim:
            raise ValueError(
                f"TotalVariation: dim must name a dim of the weight, received dim={self.dim} for a weight of shape "
                f"{tuple(w.shape)}"
            )
        return wide(w).diff(dim=self.dim)

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value; its gradient at equal neighbours is 0."""
        steps = self._steps(w)
        return self.lam * steps.abs().sum() if self.active else zero(wide(w))

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """λ times the sign of the step before minus that of the step behind."""
        signs = self._steps(w.detach()).sign() * self.lam
        edge = torch.zeros_like(wide(w.detach()).narrow(self.dim, 0, min(1, w.shape[self.dim])))
        return torch.cat([edge, signs], self.dim).sub_(torch.cat([signs, edge], self.dim)).to(w.dtype)
