"""Resize images as Keras does with JAX, and with TensorFlow where the two agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["INTERPOLATIONS", "resize"]


def _triangle(x: Tensor) -> Tensor:
    return (1.0 - x).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys's kernel with a = -1/2; torch's own `interpolate` has a = -3/4."""
    near, far = ((1.5 * x - 2.5) * x) * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x < 1, near, far).where(x < 2, 0.0)


def _lanczos(radius: int) -> Callable[[Tensor], Tensor]:
    def kernel(x: Tensor) -> Tensor:
        return (torch.sinc(x) * torch.sinc(x / radius)).where(x <= radius, 0.0)

    return kernel


INTERPOLATIONS: Mapping[str, Callable[[Tensor], Tensor] | None] = {
    "nearest": None,
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}


def resize(x: Tensor, size: tuple[int, int], interpolation: str, antialias: bool = False) -> Tensor:
    """Resize channels-first images.

    Args:
        x: the images.
        size: height and width of the result.
        interpolation: one of `INTERPOLATIONS`; pixels outside an image have no weight.
        antialias: widen the kernel where the image shrinks.
    """
    kernel = INTERPOLATIONS[interpolation]
    for dim, new in zip((-2, -1), size, strict=True):
        old = x.shape[dim]
        if new == old:
            continue
        if kernel is None:
            at = (torch.arange(new, dtype=torch.float32) + 0.5) * old / new
            x = x.index_select(dim, at.floor().long().to(x.device))
        else:
            weights = _weights(old, new, kernel, antialias).to(x.device, x.dtype)
            x = (x.movedim(dim, -1) @ weights).movedim(-1, dim)
    return x


def _weights(old: int, new: int, kernel: Callable[[Tensor], Tensor], antialias: bool) -> Tensor:
    """The weight of each old position in each new one, (old, new)."""
    ratio = old / new
    centres = (torch.arange(new, dtype=torch.float64, device="cpu") + 0.5) * ratio - 0.5
    apart = (centres - torch.arange(old, dtype=torch.float64, device="cpu")[:, None]).abs()
    weights = kernel(apart / (max(ratio, 1.0) if antialias else 1.0))
    total = weights.sum(0, keepdim=True)
    return torch.where(total.abs() > 1000.0 * math.ldexp(1.0, -23), weights / total, 0.0)
