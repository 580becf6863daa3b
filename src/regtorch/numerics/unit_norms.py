"""The norm of each unit, without overflow or underflow at any magnitude.

On a CPU, compute the plain norms and inspect them; only if one may be wrong, scale the weight by a power of two and
compute again. On other devices, inspection would synchronise: sum in float64 instead, in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regtorch.rule import check_real, wide

__all__ = ["Units", "as_rows", "check_dim", "check_shape", "from_rows", "matrix", "nonzero", "reduced", "units"]

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
# Between these norms no square overflows and no significant one underflows; scaling by the power of two moves all other
# norms into this range.
_INFO = {dtype: torch.finfo(dtype) for dtype in (torch.float32, torch.float64)}
_LEAST = {dtype: math.sqrt(info.smallest_normal) / info.eps for dtype, info in _INFO.items()}
_MOST = {dtype: 1 / math.sqrt(info.smallest_normal) for dtype, info in _INFO.items()}
_POWER = {torch.float32: 2.0**100, torch.float64: 2.0**600}
_LONG, _PART = 2304, 2048  # the longest sum done at once on a CPU, and the length of the parts of longer ones


def check_dim(owner: str, dim: object) -> int | tuple[int, ...] | None:
    """The argument `dim` of a rule, checked to be None, an int or several ints."""
    if dim is None or type(dim) is int:
        return dim
    if isinstance(dim, str | int) or not isinstance(dim, Sequence) or not dim or not all(type(d) is int for d in dim):
        raise TypeError(f"{owner}: dim must be None, an int or several ints, received {dim!r}")
    return tuple(dim)


def reduced(owner: str, w: Tensor, dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """The dims of `w` that make up one unit; if `dim` is None, all but the first (for a vector: all)."""
    check_real(owner, w)
    if dim is None:
        return tuple(range(min(1, w.ndim - 1) if w.ndim else 0, w.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if not all(-w.ndim <= d < w.ndim for d in dims) or len({d % w.ndim for d in dims}) < len(dims):
        raise ValueError(
            f"{owner}: dim must name dims of the weight, each once, received dim={dim!r} "
            f"for a weight of shape {tuple(w.shape)}"
        )
    return tuple(d % w.ndim for d in dims)


def check_shape(owner: str, w: Tensor, argument: str, value: Tensor) -> None:
    """Raise a ValueError if `w` and `value`, given for it, differ in shape: broadcasting would be wrong."""
    if w.shape != value.shape:
        raise ValueError(
            f"{owner}: the weight must have the shape {tuple(value.shape)} of its {argument}, received "
            f"{tuple(w.shape)}; if its layer was replaced since binding, bind the rule again"
        )


def nonzero(norm: Tensor) -> Tensor:
    """`norm` with 1 in place of 0: zero units divided by it stay zero, with finite gradients."""
    return norm.where(norm != 0, 1.0)


class Units(NamedTuple):
    """The units of a weight with their norms.

    Attributes:
        w: the weight in at least float32, times `scale`.
        norm: the norm of each unit of `w`, with the reduced dims kept; possibly in float64.
        scale: the power of two for each unit; None if no unit needed scaling.
        seen: the smallest and the largest norm; None if not inspected.
    """

    w: Tensor
    norm: Tensor
    scale: Tensor | None = None
    seen: tuple[float, float] | None = None

    @property
    def length(self) -> Tensor:
        """The norm of each unscaled unit, clamped to the largest finite number."""
        if self.scale is None:
            return self.norm
        most = torch.finfo(self.norm.dtype).max
        return torch.where(self.norm < torch.inf, (self.norm / self.scale).clamp(max=most), self.norm)

    @property
    def least(self) -> float:
        """A lower bound of the norms of all nonzero units."""
        return max(self.seen[0], _LEAST[self.norm.dtype]) if self.seen else 0.0

    def within(self, low: float, high: float) -> bool:
        """Whether every norm is known to be in a range."""
        return self.seen is not None and low <= self.seen[0] and self.seen[1] <= high

    def factor(self, length: float | Tensor, *examples: float) -> Tensor | None:
        """The factor of each unit that gives it the norm `length`; zero units stay zero.

        Args:
            length: the norm, one for all units or one for each.
            examples: extreme values that `length` may take besides the current norms.

        Returns:
            The factors; None if a norm or a length is too far from 1 for a single multiplication.
        """
        if self.scale is not None:
            return None
        if self.seen:
            info = _INFO[self.norm.dtype]
            low, high = info.smallest_normal * self.seen[1], info.max * self.least
            if not all(number == 0 or low <= number <= high for number in examples):
                return None
            if self.seen[0] > 0:
                return length / self.norm
        return length / nonzero(self.norm)

    def of_length(self, length: float | Tensor) -> Tensor:
        """The weight with every norm set to `length`, in two operations; zero units stay zero."""
        return self.w / nonzero(self.norm) * length

    def enlarged(self, epsilon: float) -> Units:
        """`self` with `epsilon` added to each norm."""
        if not epsilon:
            return self
        return self._replace(norm=self.norm + epsilon * (1.0 if self.scale is None else self.scale))

    def near_one(self) -> Units:
        """`self` in the weight's own precision, scaled so that products neither overflow nor underflow."""
        if self.norm.dtype == self.w.dtype:
            return self
        scale = _scale(self.norm.detach(), self.w.dtype).to(self.w.dtype)
        return Units(self.w * scale, (self.norm * scale).to(self.w.dtype), scale)


def units(w: Tensor, dims: tuple[int, ...]) -> Units:
    """Measure the units of `w`, each made of the dims `dims`."""
    v = wide(w)
    looks = v.device.type == "cpu" and not torch.compiler.is_compiling()
    if not looks and v.dtype != torch.float64 and v.device.type != "mps":  # MPS has no float64
        return Units(v, torch.linalg.vector_norm(v, dim=dims or None, keepdim=True, dtype=torch.float64))
    norm = _norm(v, dims)
    seen = _look(norm, v, dims) if looks else None
    if seen:
        return Units(v, norm, seen=seen)
    scale = _scale(norm.detach(), v.dtype)
    scaled = v * scale
    return Units(scaled, _norm(scaled, dims), scale)


def _look(norm: Tensor, v: Tensor, dims: tuple[int, ...]) -> tuple[float, float] | None:
    """The smallest and the largest norm, under vmap over all members; None if a square over- or underflowed."""
    plain = norm.detach() if norm.requires_grad else norm
    while _functorch.is_functorch_wrapped_tensor(plain):
        plain = _functorch.get_unwrapped(plain)
    if type(plain) is not Tensor:
        return None
    if not plain.numel():
        return 0.0, 0.0
    low, high = (number.item() for number in torch.aminmax(plain))
    least = _LEAST[v.dtype]
    if high < torch.inf and low < least and plain.shape == norm.shape:
        rows = _rows(v.detach(), dims)
        if not rows[(plain < least).view(rows.shape[:-1])].any():  # zero units, without underflow
            return 0.0, high
    return (low, high) if least <= low <= high < torch.inf else None


def _scale(norm: Tensor, dtype: torch.dtype) -> Tensor:
    """The power of two that scales each norm to a safe range; a norm of 0 or infinity may be wrong."""
    one = torch.ones_like(norm)
    larger, smaller = one * _POWER[dtype], one / _POWER[dtype]
    return torch.where(norm < _LEAST[dtype], larger, torch.where(norm > _MOST[dtype], smaller, one))


def _rows(v: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Flatten `dims` into one last dim, in memory order."""
    kept = [d for d in range(v.ndim) if d not in dims]
    return v.permute([*kept, *sorted(dims, key=lambda d: -v.stride(d))]).flatten(len(kept))


def _norm(v: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The norm of each unit, with the reduced dims kept.

    On a CPU, strided units are slow and long sums inaccurate; they are made contiguous and summed in parts.
    """
    if v.device.type != "cpu" or (math.prod([v.shape[d] for d in dims]) <= _LONG and _side_by_side(v, dims)):
        return torch.linalg.vector_norm(v, dim=dims or None, keepdim=True)
    rows = _rows(v, dims)
    return _in_parts(rows if rows.stride(-1) == 1 else rows.contiguous()).view(
        [1 if d in dims else size for d, size in enumerate(v.shape)]
    )


def _side_by_side(v: Tensor, dims: tuple[int, ...]) -> bool:
    if v.is_contiguous() and v.ndim - 1 in dims:
        return True
    long = [d for d in range(v.ndim) if v.shape[d] > 1]
    return not long or min(long, key=v.stride) in dims


def _in_parts(rows: Tensor) -> Tensor:
    """The norm over the last dim, of the norms of its parts."""
    count = rows.shape[-1]
    if count <= _LONG:
        return torch.linalg.vector_norm(rows, dim=-1)
    fewest = -(-count // _LONG)
    part = _PART if count % fewest else count // fewest
    even = count // part * part
    parts = torch.linalg.vector_norm(rows[..., :even].unflatten(-1, (-1, part)), dim=-1)
    if even < count:
        rest = torch.linalg.vector_norm(rows[..., even:], dim=-1, keepdim=True)
        parts = torch.cat([parts, rest], -1)
    return _in_parts(parts)


def as_rows(v: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Flatten `dims` into one last dim."""
    kept = [d for d in range(v.ndim) if d not in dims]
    return v.permute([*kept, *sorted(dims)]).flatten(len(kept))


def from_rows(rows: Tensor, dims: tuple[int, ...], shape: torch.Size) -> Tensor:
    """The inverse of `as_rows`, to a weight of `shape`."""
    order = [d for d in range(len(shape)) if d not in dims] + sorted(dims)
    return rows.reshape([shape[d] for d in order]).permute([order.index(d) for d in range(len(shape))])


def matrix(w: Tensor) -> Tensor:
    """The 2-D view (unit, rest) of a units-first weight."""
    return w.flatten(1) if w.ndim >= 2 else w.reshape(1, -1)


def is_submatrix(mask: Tensor) -> bool:
    """Whether a units-first mask is True exactly on some rows times some columns of the 2-D view."""
    m = matrix(mask)
    return not m.numel() or torch.equal(m, m.any(1, keepdim=True) & m.any(0, keepdim=True))
