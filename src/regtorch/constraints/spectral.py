"""A constraint on the singular values of a weight, viewed as a matrix."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from regtorch.checks import nonnegative
from regtorch.constraints.base import ROUNDING, Constraint
from regtorch.numerics.singular import may_look, spectral_norm, with_singular
from regtorch.numerics.unit_norms import matrix
from regtorch.rule import check_real, wide
from regtorch.shapes import Float

__all__ = ["SpectralMax"]


class SpectralMax(Constraint):
    """The largest singular value of the (units, fan_in) matrix is at most `max_value`: a bound on the layer's gain.

    The projection clips singular values and keeps the smaller ones (spectral normalization, Miyato et al. 2018, divides
    all of them). It takes an SVD at each step. A convolution is viewed as a matrix with one row per output channel; as
    a map of images its gain is at most √(kernel positions) times that of the matrix.

    Args:
        max_value: the largest singular value allowed.
        select: which weights.

    Raises:
        TypeError: `max_value` is not a number.
        ValueError: `max_value` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.SpectralMax(2.0)(torch.diag(torch.tensor([3.0, 1.0])))
        tensor([[2., 0.],
                [0., 1.]])
    """

    mixes: ClassVar[bool] = True

    max_value: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hint = "give the largest singular value allowed, such as 1"
        self._set(max_value=nonnegative("SpectralMax", "max_value", self.max_value, hint))

    @property
    def by_unit(self) -> bool:
        return True

    @staticmethod
    def _matrix(w: Tensor) -> Tensor:
        """In float64 if the device has it: float32 SVDs of long rows lose two of seven digits."""
        return matrix(wide(w) if w.device.type == "mps" else w.double())

    def _most(self, v: Tensor, dtype: torch.dtype) -> float:
        """The largest singular value after one application, including rounding."""
        own = torch.finfo(dtype)
        rounding = (ROUNDING[v.dtype] + max(v.shape)) * torch.finfo(v.dtype).eps
        if dtype == torch.float32:
            rounding += own.eps / 2 * math.sqrt(min(v.shape))
        elif dtype != torch.float64:
            rounding += own.eps
        grain = own.smallest_normal * own.eps * math.sqrt(v.numel()) / 2  # of subnormal numbers
        return self.max_value * (1 + rounding) + grain

    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """Clips the singular values; returns a copy of the weight if none is too large."""
        check_real(self.name, w)
        v = self._matrix(w)
        if not v.numel():
            return w.clone()
        inside = spectral_norm(v.detach()) <= self._most(v, w.dtype)
        if may_look() and bool(inside):
            return w.clone()
        clipped = with_singular(v, lambda values: values.clamp(max=self.max_value))
        return torch.where(inside, v, clipped).reshape(w.shape).to(w.dtype)

    def violation(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The excess of the largest singular value: the distance in the spectral norm."""
        check_real(self.name, w)
        v = self._matrix(w)
        if not v.numel():
            return wide(w).sum()
        largest = spectral_norm(v)
        above = torch.where(largest <= self._most(v, w.dtype), 0.0, largest - self.max_value)
        return above.to(wide(w).dtype)
