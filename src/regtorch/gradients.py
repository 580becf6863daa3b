"""Adding a gradient to `.grad`: one weight at a time, or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# torch's own fast path for its optimizers; public in its documentation, not in its type stubs.
_foreach_add_: Any = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
_foreach_sign: Any = torch._foreach_sign  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["accumulate_", "add_many_"]


@torch.no_grad()
def accumulate_(p: nn.Parameter, g: Tensor) -> None:
    """Add `g`, which nobody else holds, to `p.grad`, as backward would.

    A missing gradient is made, a sparse one becomes dense.
    """
    if p.grad is None:
        p.grad = g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
    elif p.grad.is_sparse:
        p.grad = p.grad.to_dense().add_(g)
    else:
        p.grad.add_(g)


@torch.no_grad()
def add_many_(parameters: Sequence[nn.Parameter], l1: float, l2: float, factor: float) -> None:
    """Add factor · (l1 sign(w) + 2·l2·w) to the dense gradients of `parameters`, in place.

    The signs need memory for at most the largest weight (or a million numbers) at a time.
    """
    if l2:
        _foreach_add_([p.grad for p in parameters], list(parameters), alpha=2 * l2 * factor)
    if l1:
        for chunk in _chunks(parameters):
            _foreach_add_([p.grad for p in chunk], _foreach_sign(chunk), alpha=l1 * factor)


def _chunks(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    limit = max(1_000_000, *(p.numel() for p in parameters))
    chunk: list[nn.Parameter] = []
    held = 0
    for p in parameters:
        if chunk and held + p.numel() > limit:
            yield chunk
            chunk, held = [], 0
        chunk.append(p)
        held += p.numel()
    yield chunk
