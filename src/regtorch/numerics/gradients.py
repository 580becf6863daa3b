"""Accumulate gradients into `.grad`, for one weight or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.numerics.blocks import BLOCK, is_cut

# Documented by torch as public, but missing from its type stubs.
_foreach_add_: Any = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
_foreach_sign: Any = torch._foreach_sign  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["accumulate_", "add_many_"]


def accumulate_(p: nn.Parameter, g: Tensor) -> None:
    """Accumulate `g` into `p.grad` like backward(), but a sparse gradient becomes dense; takes ownership of `g`."""
    if p.grad is None:
        p.grad = g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
    elif p.grad.is_sparse:
        p.grad = p.grad.to_dense().add_(g)
    else:
        p.grad.add_(g)


def add_many_(weights: Sequence[Tensor], grads: Sequence[Tensor], l1: float, l2: float, factor: float) -> None:
    """Add factor · (l1 sign(w) + 2·l2·w) to the dense `grads` in place; signs block by block, for memory and cache."""
    with torch.no_grad():
        if not l1:
            _foreach_add_(grads, weights, alpha=2 * l2 * factor)
            return
        few = sum([w.numel() for w in weights]) <= BLOCK
        for chunk, into in [(weights, grads)] if few else _chunks(weights, grads):
            if l2:
                _foreach_add_(into, chunk, alpha=2 * l2 * factor)
            _foreach_add_(into, _foreach_sign(chunk), alpha=l1 * factor)


def _chunks(weights: Sequence[Tensor], grads: Sequence[Tensor]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Groups of weights and gradients with at most `BLOCK` elements; on a CPU larger weights are split."""
    pairs = [block for pair in zip(weights, grads, strict=True) for block in _blocks(*pair)]
    chunk: tuple[list[Tensor], list[Tensor]] = ([], [])
    held = 0
    for w, g in pairs:
        if held and held + w.numel() > BLOCK:
            yield chunk
            chunk, held = ([], []), 0
        chunk[0].append(w)
        chunk[1].append(g)
        held += w.numel()
    yield chunk


def _blocks(w: Tensor, g: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    if is_cut(w, g):
        return zip(w.view(-1).split(BLOCK), g.view(-1).split(BLOCK), strict=True)
    return iter([(w, g)])
