"""The group lasso sets all weights of an output unit, or of a block of units, to zero together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from regtorch.checks import integer
from regtorch.numerics.unit_norms import Units, check_dim, nonzero, reduced, units
from regtorch.penalties.base import Penalty, zero
from regtorch.penalties.elementwise import L1
from regtorch.rule import Grain, wide
from regtorch.shapes import Float

__all__ = ["GroupLasso", "SparseGroupLasso"]

_HALVINGS = 64  # of the interval [0, ‖g‖]: to the last bit, with a margin for small λ
_NEWTON_STEPS = 10  # converge to the last bit, even if steps within a unit differ by 20 orders of magnitude


class GroupLasso(Penalty):
    """λ Σ_g √n_g ‖w_g‖₂ over groups of n_g numbers: output units (n_g = fan_in) or blocks of them (Yuan & Lin 2006).

    Args:
        lam: the strength λ; √n_g makes it comparable between layers of different width.
        dim: the dims of one unit, in torch's layout; the product of their sizes is fan_in. None means all dims but the
            output unit's.
        blocks: consecutive units per group: 64 prunes attention heads of size 64 in the input projections; with
            `dim=0` in the output projection.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number, `dim` is neither None, an int nor several, or `blocks` is not an int.
        ValueError: `lam` is negative, infinite or NaN, or `blocks` below 1; for a weight: it lacks a dim, or `blocks`
            does not divide its units.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.GroupLasso(0.1)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))  # 0.1 · √2 · 5
        tensor(0.7071)
        >>> rt.GroupLasso(0.1, blocks=2)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))  # 0.1 · √4 · 5
        tensor(1.)
    """

    prox_keeps_signs: ClassVar[bool] = True

    lam: float = 0.01
    dim: int | Sequence[int] | None = field(default=None, kw_only=True)
    blocks: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        blocks = integer(self.name, "blocks", self.blocks, "1 is a group for each unit")
        self._set(dim=check_dim(self.name, self.dim), blocks=blocks)

    @property
    def by_unit(self) -> bool:
        return self.dim is None

    @property
    def grain(self) -> Grain:
        return "unit" if self.blocks == 1 else "weight"

    @property
    def by_norm(self) -> bool:
        own = type(self)
        return self.blocks == 1 and (own.grad, own.add_grad_) == (GroupLasso.grad, GroupLasso.add_grad_)

    def groups(self, w: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """A view of `w` in blocks, and the dims that make up one group."""
        dims = reduced(self.name, w, self.dim)
        if self.blocks == 1:
            return w, dims
        kept = [d for d in range(w.ndim) if d not in dims]
        if len(kept) != 1 or w.shape[kept[0]] % self.blocks:
            raise ValueError(
                f"{self.name}: blocks must divide the weight's units, which must be in one dim, received "
                f"blocks={self.blocks} and dim={self.dim!r} for a weight of shape {tuple(w.shape)}"
            )
        at = kept[0]
        view = w.unflatten(at, (w.shape[at] // self.blocks, self.blocks))
        return view, tuple(d for d in range(view.ndim) if d != at)

    def _units(self, w: Tensor) -> tuple[Units, tuple[int, ...], float]:
        """The groups, their dims, and λ √n_g."""
        w, dims = self.groups(w)
        return units(w, dims), dims, self.lam * math.sqrt(math.prod([w.shape[d] for d in dims]))

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value; its gradient at a zero unit is 0. Infinite and NaN elements propagate."""
        if not self.active:
            self.groups(w)
            return zero(wide(w))
        found, _, strength = self._units(w)
        return (strength * found.length.sum()).to(found.w.dtype)

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """λ √n_g w_g / ‖w_g‖; NaN for units with an infinite or NaN element."""
        found, _, strength = self._units(w.detach())
        pull = found.factor(strength, strength)
        return (found.of_length(strength) if pull is None else found.w * pull).to(w.dtype).reshape(w.shape)

    @torch.no_grad()
    def add_grad_(
        self, w: Float[Tensor, "units *fan_in"], into: Float[Tensor, "units *fan_in"], factor: float | Tensor
    ) -> None:
        """One norm and one fused multiply-add; copies the weight only if a norm is far from 1."""
        found, _, strength = self._units(w)
        (w, _), (into, _) = self.groups(w), self.groups(into)
        pull = found.factor(strength, strength)
        if pull is None:
            into.add_(found.of_length(strength).mul_(factor).to(w.dtype))
        elif found.w.dtype == w.dtype == into.dtype:
            into.addcmul_(w, pull.mul_(factor))
        else:
            into.add_((found.w * pull.mul_(factor)).to(w.dtype))

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The largest norm of a group of g, over √n_g."""
        g, dims = self.groups(g)
        return units(g, dims).length.max() / math.sqrt(math.prod([g.shape[d] for d in dims]))

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """Shrinks each unit's norm; with a step per element the new norm is the root of a scalar equation per unit."""
        found, dims, strength = self._units(w.detach())
        if not w.numel():
            return w.clone()
        if found.scale is not None and found.w.dtype == torch.float32 and w.device.type != "mps":
            # Norms and thresholds may exceed float32; compare them in float64.
            exact = self.prox(w.double(), step.double() if isinstance(step, Tensor) else step)
            return exact.to(w.dtype)
        if isinstance(step, Tensor) and step.ndim:
            step, _ = self.groups(step)
        threshold, v = _product(step, strength, found.w), wide(self.groups(w.detach())[0])
        if threshold.ndim == 0:
            norm = found.length
            new = v * torch.where(norm <= threshold, 0.0, 1 - threshold / nonzero(norm))
        else:
            new = self._prox_by_coordinate(v, found.near_one(), dims, threshold)
        return new.to(w.dtype).reshape(w.shape)

    def _prox_by_coordinate(self, w: Tensor, found: Units, dims: tuple[int, ...], threshold: Tensor) -> Tensor:
        # z = v·r/(r + t·c) with r = ‖z‖, so Σ v²/(r + t·c)² = 1. As a function of r, 1/√Σ - 1 is concave and nearly
        # linear, so Newton's method rises monotonically and fast from any lower bound. The bound |v| - t·c of each
        # element keeps every quotient at most 1. All of this is in the scale of `found`.
        scaled = threshold if found.scale is None else threshold * found.scale
        v, norm = found.w, found.norm
        finite = norm.where(norm < torch.inf, 0.0)
        r = torch.maximum((v.abs() - scaled).amax(dims, keepdim=True), finite - scaled.amax(dims, keepdim=True))
        r = r.clamp(min=0)
        for _ in range(_NEWTON_STEPS):
            inside = nonzero(r + scaled)
            parts = (v / inside).square()
            total = nonzero(parts.sum(dims, keepdim=True))
            slope = (parts / inside).sum(dims, keepdim=True)
            r = (r + (total.sqrt() - 1) * total / nonzero(slope)).clamp(min=0)
        return torch.where(threshold == 0, w, w * (r / nonzero(r + scaled)))


def _product(step: float | Tensor, strength: float, like: Tensor) -> Tensor:
    """Step · strength in the dtype of `like`, clamped to its range."""
    most = torch.finfo(like.dtype).max
    if not isinstance(step, Tensor):
        return like.new_full((), min(step * strength, most))
    product = step.to(like.dtype) * strength if strength <= most else step.double() * strength
    return product.clamp(max=most).to(like.dtype)


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
        group = GroupLasso(1.0, dim=self.dim, blocks=self.blocks, select=self.select)
        return [(L1(1.0, select=self.select), self.l1), (group, self.lam)]

    @property
    def by_unit(self) -> bool:
        return self.dim is None

    @property
    def grain(self) -> Grain:
        return self._parts()[1].grain

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        l1, group = self._parts()
        return l1(w) + group(w)

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        l1, group = self._parts()
        return l1.grad(w) + group.grad(w) if self.lam else l1.grad(w)

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The λ, with l1 scaled by the same factor: for each group the root of ‖S(g, rλ)‖₂ = λ √n_g, r = l1/λ.

        S is soft thresholding. The left side falls and the right side rises with λ, so bisection finds the root.
        """
        if not self.lam:
            raise TypeError(f"{self!r}: lam must be above 0 to empty a weight, received 0; use L1, or a lam above 0")
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
        """L1's step, then GroupLasso's."""
        l1, group = self._parts()
        return group.prox(l1.prox(w, step), step)
