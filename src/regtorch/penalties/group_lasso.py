"""The group lasso: whole output units go to zero together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from regtorch.penalties.base import Penalty, nonzero, rows, zero
from regtorch.rule import check_real, wide

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["GroupLasso"]

_NEWTON_STEPS = 10  # settles to the last bit, also with steps that differ by 20 orders of magnitude in a unit


@dataclass(frozen=True, repr=False)
class GroupLasso(Penalty):
    """λ Σ_u √fan_in ‖w_u‖₂ over the output units u: whole units go to zero (Yuan & Lin 2006).

    Args:
        lam: the strength λ; √fan_in makes it comparable between layers of different width.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.GroupLasso(0.1)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))  # 0.1 · √2 · 5
        tensor(0.7071)
    """

    prox_keeps_signs: ClassVar[bool] = True

    lam: float = 0.01

    def _strength(self, w: Tensor) -> float:
        return self.lam * math.sqrt(math.prod(w.shape[1:]) if w.ndim >= 2 else w.numel())

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value; its gradient at a zero unit is 0."""
        check_real(self.name, w)
        v = rows(wide(w))
        if not self.active:
            return zero(v)
        return self._strength(v) * torch.linalg.vector_norm(v, dim=1).sum()

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """λ √fan_in w_u / ‖w_u‖."""
        w = w.detach()
        return (wide(w) * self._pull(w)).to(w.dtype)

    @torch.no_grad()
    def add_grad_(
        self, w: Float[Tensor, "units *fan_in"], into: Float[Tensor, "units *fan_in"], factor: float | Tensor
    ) -> None:
        """One norm and one fused multiply-add, no copy of the weight."""
        pull = self._pull(w).mul_(factor)
        if pull.dtype == w.dtype == into.dtype:
            into.addcmul_(w, pull)
        else:
            into.add_((wide(w) * pull).to(w.dtype))

    def _pull(self, w: Tensor) -> Tensor:
        """λ √fan_in / ‖w_u‖ of each unit, 0 of a zero unit."""
        norm = torch.linalg.vector_norm(wide(w), dim=tuple(range(1, w.ndim)) or None, keepdim=True)
        return torch.where(norm > 0, self._strength(w) / norm, 0.0)

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The largest norm of a unit of g, over √fan_in."""
        g = rows(wide(g))
        return torch.linalg.vector_norm(g, dim=1).max() / math.sqrt(g.shape[1])

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """Shrink each unit's norm; with a step per coordinate the norm is the root of a scalar equation per unit."""
        v = rows(wide(w.detach()))
        if not v.numel():
            return w.clone()
        c = self._strength(v)
        norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
        if not isinstance(step, Tensor) or step.ndim == 0:
            shrunk = (1 - step * c / nonzero(norm)).clamp(min=0)
            return (v * shrunk).view(w.shape).to(w.dtype)
        # z = v·r/(r + t·c) with r = ‖z‖, so Σ v²/(r + t·c)² = 1. The root of 1/√Σ - 1 in r: that function is nearly
        # linear and concave, so Newton's steps rise to it from any lower bound, monotonically and very fast. The bound
        # |v| - t·c of each coordinate keeps every quotient below at most 1.
        threshold = rows(wide(step)) * c
        finite = norm.where(norm < torch.inf, 0.0)
        r = torch.maximum((v.abs() - threshold).amax(1, keepdim=True), finite - threshold.amax(1, keepdim=True))
        r = r.clamp(min=0)
        for _ in range(_NEWTON_STEPS):
            inside = nonzero(r + threshold)
            parts = (v / inside).square()
            total = nonzero(parts.sum(1, keepdim=True))
            slope = (parts / inside).sum(1, keepdim=True)
            r = (r + (total.sqrt() - 1) * total / nonzero(slope)).clamp(min=0)
        z = v * (r / nonzero(r + threshold))
        return torch.where(threshold == 0, v, z).view(w.shape).to(w.dtype)
