"""Penalties of a weight's singular values and Gram matrix, on the 2-D view (unit, rest)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from regtorch.numerics.singular import largest_singular, precise, spectral_norm, svd, with_singular
from regtorch.numerics.unit_norms import matrix
from regtorch.penalties.base import Penalty, check_one_step, zero
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["NuclearNorm", "SoftOrthogonal", "SpectralNorm"]


class SpectralNorm(Penalty):
    """λ σ₁(W), the largest singular value: how much a layer can stretch its input (Yoshida & Miyato 2017 have ½σ₁²).

    Args:
        lam: the strength λ, in units of loss per unit of weight.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.SpectralNorm(0.1)(torch.diag(torch.tensor([3.0, 1.0])))
        tensor(0.3000)
    """

    lam: float = 0.01

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value, by power iteration."""
        check_real(self.name, w)
        v = matrix(wide(w))
        if not self.active or not v.numel():
            return zero(v)
        left, right = largest_singular(v.detach())
        with precise(v):
            return self.lam * (left @ v @ right)

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """λ u₁v₁ᵀ."""
        v = matrix(wide(w.detach()))
        if not v.numel():
            return torch.zeros_like(w)
        left, right = largest_singular(v)
        return (self.lam * torch.outer(left, right)).view(w.shape).to(w.dtype)


class NuclearNorm(Penalty):
    """λ Σᵢ σᵢ(W), the convex surrogate of the rank (Fazel 2002).

    Args:
        lam: the strength λ, in units of loss per unit of weight.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.NuclearNorm(0.1)(torch.diag(torch.tensor([3.0, 1.0])))
        tensor(0.4000)
    """

    one_step_size: ClassVar[bool] = True
    mixes: ClassVar[bool] = True

    lam: float = 0.01

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value, by SVD; its gradient on the null space is 0."""
        check_real(self.name, w)
        v = matrix(wide(w))
        if not self.active or not v.numel():
            return zero(v)
        with precise(v):
            return (v * self._direction(v.detach())).sum() * self.lam

    @staticmethod
    def _direction(v: Tensor) -> Tensor:
        """U Vᵀ over the singular values above rounding error."""
        left, values, right = svd(v)
        rounding = torch.finfo(v.dtype).eps * max(v.shape) * values.amax(-1, keepdim=True)
        return (left * torch.where(values <= rounding, 0.0, values / values)) @ right

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """λ U Vᵀ."""
        v = matrix(wide(w.detach()))
        if not v.numel():
            return torch.zeros_like(w)
        with precise(v):
            return (self.lam * self._direction(v)).reshape(w.shape).to(w.dtype)

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The largest singular value of g."""
        return spectral_norm(matrix(wide(g)))

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """Soft thresholding of the singular values by step·λ; `step` must be one number."""
        check_one_step(self.name, step)
        v = matrix(wide(w.detach()))
        if not v.numel():
            return w.clone()
        shrunk = with_singular(v, lambda values: (values - step * self.lam).clamp(min=0))
        return shrunk.reshape(w.shape).to(w.dtype)


class SoftOrthogonal(Penalty):
    """λ ‖WWᵀ - I‖²_F: orthonormal units (Brock et al. 2017; Bansal et al. 2018).

    With more units than inputs the minimum is above 0. The gradient equals that of ‖WᵀW - I‖²_F in any case: the two
    differ by a constant.

    Args:
        lam: the strength λ, in units of loss.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number.
        ValueError: `lam` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.SoftOrthogonal(1.0)(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor(3.)
    """

    lam: float = 0.01

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The value, in at least float32 even under autocast."""
        check_real(self.name, w)
        v = matrix(wide(w))
        if not self.active or not v.numel():
            return zero(v)
        with precise(v):
            gram = _smaller_gram(v)
            distance = (gram - torch.eye(len(gram), dtype=v.dtype, device=v.device)).square().sum()
        return self.lam * (distance + max(0, v.shape[0] - v.shape[1]))

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """4λ (WWᵀ - I) W."""
        v = matrix(wide(w.detach()))
        with precise(v):
            gram = _smaller_gram(v)
            pulled = gram @ v if len(gram) == v.shape[0] else v @ gram
        return (4 * self.lam * (pulled - v)).reshape(w.shape).to(w.dtype)


def _smaller_gram(v: Tensor) -> Tensor:
    return v @ v.T if v.shape[0] <= v.shape[1] else v.T @ v
