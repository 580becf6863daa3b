"""Large weights in blocks that stay in a core's cache with their gradients, for rules of single elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regtorch.rule import is_ours, with_inner

__all__ = ["BLOCK", "in_blocks", "is_cut"]

BLOCK = 1 << 18  # elements; 1 MiB of float32

Part = Callable[[Tensor], Tensor]


def in_blocks(rule: Any, *tensors: Tensor) -> Iterator[Part] | None:
    """Cut tensors of one shape, and the rule's own, into blocks.

    Args:
        rule: it acts on all of these elements.
        tensors: a weight first.

    Returns:
        Functions from a tensor of this shape to one block each; None if the weight is small or on another device, a
        tensor is not contiguous, the rule sees more than an element, or its formula is not the library's: it may
        hold tensors of the weight's shape, or count on its dims.
    """
    if not is_cut(*tensors) or rule.grain != "element" or not is_ours(rule):
        return None
    own = [
        value for one in with_inner(rule) for value in vars(one).values() if isinstance(value, Tensor) and value.ndim
    ]
    if not is_cut(tensors[0], *own):
        return None
    return (partial(_block, at=at) for at in range(0, tensors[0].numel(), BLOCK))


def is_cut(w: Tensor, *others: Tensor) -> bool:
    """Whether to cut a weight, large and on a CPU, and others that lie in memory alike; a compiler fuses the loop."""
    if w.numel() <= BLOCK or w.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return all(t.shape == w.shape and t.is_contiguous() for t in (w, *others))


def _block(t: Tensor, at: int) -> Tensor:
    return t.view(-1)[at : at + BLOCK]
