"""Accumulate gradients into `.grad`, for one weight or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.numerics.blocks import FASTEST, LARGEST, is_cut

# Documented by torch as public, but missing from its type stubs.
_foreach_add_: Any = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
_foreach_sign: Any = torch._foreach_sign  # pyright: ignore[reportPrivateImportUsage]

__all__ = ["accumulate_", "add_many_"]

_Pair = tuple[Sequence[Tensor], Sequence[Tensor]]


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
        count = sum([w.numel() for w in weights])
        if count <= LARGEST:
            chunks = iter([(weights, grads)])
        elif weights[0].device.type != "cpu" or torch.compiler.is_compiling():
            chunks = _chunks(weights, grads, LARGEST)
        else:
            job = "signs", bool(l2), weights[0].dtype, len(weights), count
            chunks = FASTEST.cut(job, lambda size: _chunks(weights, grads, size))
        for chunk, into in chunks:
            if l2:
                _foreach_add_(into, chunk, alpha=2 * l2 * factor)
            _foreach_add_(into, _foreach_sign(chunk), alpha=l1 * factor)


def _chunks(weights: Sequence[Tensor], grads: Sequence[Tensor], size: int) -> Iterator[_Pair]:
    """Groups of weights and gradients with at most `size` elements; on a CPU larger weights are split."""
    pairs = [block for pair in zip(weights, grads, strict=True) for block in _blocks(*pair, size)]
    chunk: tuple[list[Tensor], list[Tensor]] = ([], [])
    held = 0
    for w, g in pairs:
        if held and held + w.numel() > size:
            yield chunk
            chunk, held = ([], []), 0
        chunk[0].append(w)
        chunk[1].append(g)
        held += w.numel()
    yield chunk


def _blocks(w: Tensor, g: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    if is_cut(w, g):
        return zip(w.view(-1).split(size), g.view(-1).split(size), strict=True)
    return iter([(w, g)])
