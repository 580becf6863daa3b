"""Singular values of a matrix: the largest by power iteration, and functions of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from regtorch.numerics.capturing import check_not_captured

__all__ = ["largest_singular", "may_look", "precise", "spectral_norm", "svd", "with_singular"]

_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
_ITERATIONS = 2000
_LOOK = 10  # iterations between convergence checks, each of which synchronises


def precise(w: Tensor) -> torch.autocast:
    """Compute matrix products in the dtype of `w`, even under autocast."""
    return torch.autocast(w.device.type, enabled=False)


def may_look() -> bool:
    """Whether control flow may depend on values: not under a compiler or vmap."""
    if torch.compiler.is_compiling() or _functorch.maybe_current_level() is not None:
        return False
    check_not_captured("a rule that iterates until it has converged", "leave this rule out of the captured step")
    return True


def svd(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, the singular values and Vᵀ; where torch raises for infinite or NaN elements, the values are NaN."""
    finite = w.isfinite().all()
    left, values, right = torch.linalg.svd(w.where(finite, 0.0), full_matrices=False)
    return left, values.where(finite, torch.nan), right


def spectral_norm(w: Tensor) -> Tensor:
    """The largest singular value of a nonempty matrix; NaN if an element is infinite or NaN."""
    finite = w.isfinite().all()
    return torch.linalg.matrix_norm(w.where(finite, 0.0), 2).where(finite, torch.nan)


def with_singular(w: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A nonempty matrix with `change` applied to its descending singular values; zero rows and columns stay zero."""
    live = w.detach() != 0
    with precise(w):
        left, values, right = svd(w)
        return (left * change(values)) @ right * live.any(1, keepdim=True) * live.any(0, keepdim=True)


@torch.no_grad()
def largest_singular(w: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors u and v for which uᵀWv is the largest singular value of a nonempty matrix, by power iteration.

    The start vector is fixed and irregular, so the result is deterministic. It stops at convergence to rounding, or
    after 2,000 iterations if the two largest singular values are nearly equal and the vectors ill-determined.
    """
    if not may_look():
        left, values, right = svd(w)
        return left[:, 0] + 0 * values[0], right[0]
    with precise(w):
        w = w / torch.where(w.abs().max() > 0, w.abs().max(), 1.0)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        place = torch.arange(1, len(gram) + 1, device=w.device, dtype=w.dtype)
        v = _unit(gram @ place.square().sin())  # a regular start could be orthogonal to v
        tiny = torch.finfo(w.dtype).tiny
        for number in range(1, _ITERATIONS + 1):
            before, product = v, gram @ v
            v = product / torch.linalg.vector_norm(product).clamp_min(tiny)  # a vector of zeros stays one
            if number % _LOOK == 0 and not bool((v - before).abs().max() > 4 * torch.finfo(w.dtype).eps):
                break
        v = torch.where(v.any(), v, _first(v))
        if w.shape[0] <= w.shape[1]:
            return v, _unit(w.T @ v)
        return _unit(w @ v), v


def _unit(v: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(v)
    return torch.where(norm == 0, _first(v), v / torch.where(norm == 0, 1.0, norm))


def _first(v: Tensor) -> Tensor:
    first = torch.zeros_like(v)
    first[0] = 1.0
    return first
