"""The sparse group lasso: whole units go to zero, and single numbers in those that stay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from regtorch.penalties.base import Penalty
from regtorch.penalties.elementwise import L1
from regtorch.penalties.group_lasso import GroupLasso

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["SparseGroupLasso"]

_HALVINGS = 64  # from the norm of g to its last bit, and some for a λ far below it


@dataclass(frozen=True, repr=False)
class SparseGroupLasso(Penalty):
    """l1 Σ|w| + λ Σ_g √n_g ‖w_g‖₂ over groups g of n_g numbers, the output units (Simon et al. 2013).

    Args:
        l1: the strength of Σ|w|.
        lam: the strength λ of the units' norms.
        dim: the dims of one unit, as of `GroupLasso`.
        blocks: how many units make one group, as of `GroupLasso`.
        select: which weights.

    Raises:
        TypeError: a strength is not a number, `dim` is neither None, an int nor several, or `blocks` is not an int.
        ValueError: a strength is negative, infinite or NaN, or `blocks` below 1.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.SparseGroupLasso(0.1, 0.1)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))  # 0.1 · 7 + 0.1 · √2 · 5
        tensor(1.4071)
    """

    prox_keeps_signs: ClassVar[bool] = True

    l1: float = 0.01
    lam: float = 0.01
    dim: int | Sequence[int] | None = field(default=None, kw_only=True)
    blocks: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(dim=self._parts()[1].dim)

    def _parts(self) -> tuple[L1, GroupLasso]:
        return L1(self.l1), GroupLasso(self.lam, dim=self.dim, blocks=self.blocks)

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        """L1 and GroupLasso of strength 1."""
        group = GroupLasso(1.0, dim=self.dim, blocks=self.blocks, select=self.select)
        return [(L1(1.0, select=self.select), self.l1), (group, self.lam)]

    @property
    def by_unit(self) -> bool:
        """True unless `dim` names the dims itself."""
        return self.dim is None

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The sum of both."""
        l1, group = self._parts()
        return l1(w) + group(w)

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """The sum of both."""
        l1, group = self._parts()
        return l1.grad(w) + group.grad(w) if self.lam else l1.grad(w)

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The λ that does, with an l1 in the same ratio r to it: of each group where ‖S(g, rλ)‖₂ = λ √n_g.

        S is soft thresholding. The left falls and the right rises with λ, so that bisection finds it to the last bit.

        Raises:
            TypeError: λ is 0, so that l1 has no ratio to it.
        """
        if not self.lam:
            raise TypeError(f"{self!r}: lam is 0, so that no lam empties a weight; take L1, or a lam above 0")
        g, dims = self._parts()[1].groups(g)
        ratio = self.l1 / self.lam
        v = g.abs().double()
        root = math.sqrt(math.prod([g.shape[d] for d in dims]))
        low = torch.zeros_like(v.amax(dims, keepdim=True))
        high = torch.linalg.vector_norm(v, dim=dims, keepdim=True) / root
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            left = torch.linalg.vector_norm((v - ratio * middle).clamp(min=0), dim=dims, keepdim=True)
            above = left > root * middle
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return high.max()

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """L1's, then GroupLasso's."""
        l1, group = self._parts()
        return group.prox(l1.prox(w, step), step)
