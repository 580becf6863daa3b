"""Norms of many tensors at once, and few numbers of large ones, without changing any."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from regtorch.numerics.sharded import is_sharded

__all__ = ["floats", "is_number", "local", "norms", "sampled"]

_MOST = 65_536  # numbers of one tensor
_WIDE = (torch.float32, torch.float64)
_foreach_norm: Any = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage]


def is_number(thing: object) -> bool:
    """Whether it is one real number, or a tensor of one."""
    if isinstance(thing, Tensor):
        return thing.numel() == 1 and not thing.is_complex()
    return isinstance(thing, Real)


def local(t: Tensor) -> Tensor:
    """This process's numbers of a tensor, detached and real; of a sparse one the values."""
    t = t.detach()
    part: Any = t
    t = part.to_local() if is_sharded(t) else t
    if t.is_sparse:
        t = t.coalesce().values()
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def sampled(t: Tensor) -> Tensor:
    """All numbers of a small tensor, evenly spaced ones of a large one: a view where memory is dense."""
    t = local(t)
    if t.is_contiguous() and t.numel() <= _MOST:
        return t.view(-1)
    order = sorted(range(t.ndim), key=lambda dim: -t.stride(dim))
    t = t.permute(order)
    flat = t.reshape(-1)
    stride = -(-flat.numel() // _MOST)
    if stride > 1:
        while any(gcd(stride, size) > 1 for size in t.shape if size > 1):  # or it would see some columns only
            stride += 1
    return flat[::stride]


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor, in at least float32."""
    if not tensors:
        return []
    if all(t.dtype in _WIDE for t in tensors):
        return list(_foreach_norm(list(tensors)))
    return [torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]


def floats(scalars: Sequence[Tensor]) -> list[float]:
    """Numbers of tensors, with one transfer from each device."""
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, scalar in enumerate(scalars):
        alike.setdefault((scalar.device, scalar.dtype), []).append(index)
    found = [0.0] * len(scalars)
    for indices in alike.values():
        values = torch.stack([scalars[i] for i in indices]).tolist()
        for index, value in zip(indices, values, strict=True):
            found[index] = value
    return found
