"""Batches: checking pairs, copying them, and describing tensors and errors."""

from __future__ import annotations

import copy
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

__all__ = [
    "MOST",
    "Batch",
    "Passed",
    "form",
    "fresh",
    "is_finite",
    "kept",
    "one_line",
    "pairs_of",
    "same",
    "same_memory",
    "text_of",
]

Batch = tuple[Any, Tensor]
MOST = 64
"""Batches used."""


@dataclass(frozen=True, eq=False)
class Passed:
    """The outputs of batch `number`, whose targets are more than one tensor, or whose loss is known already."""

    outputs: Any
    number: int
    loss: Any = None


def pairs_of(batches: Iterable[Any]) -> list[Batch]:
    """The first batches as pairs.

    Raises:
        TypeError: not a list or loader of (input, tensor).
        ValueError: there are no batches.
    """
    try:
        iterator = iter(batches)
    except TypeError as error:
        raise TypeError(
            f"diagnose: batches must be a list or loader of (input, target), received a {type(batches).__name__}"
        ) from error
    pairs = [_pair(batch) for batch in islice(iterator, MOST)]
    if not pairs:
        raise ValueError("diagnose: batches is empty; pass a list or loader of (input, target)")
    return pairs


def _pair(batch: Any) -> Batch:
    if not isinstance(batch, Sequence) or isinstance(batch, str) or len(batch) != 2 or not isinstance(batch[1], Tensor):
        what = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, Sequence) else "")
        raise TypeError(f"diagnose: each of batches must be a pair (input, target) of tensors, received {what}")
    return batch[0], batch[1]


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal, of one shape and dtype."""
    return a.dtype == b.dtype and torch.equal(a, b)


def same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors begin in the same place; no for those without memory of their own."""
    try:
        return a.data_ptr() == b.data_ptr()
    except RuntimeError:
        return False


def fresh(thing: Any) -> Any:
    """A copy with cloned tensors, also inside sequences and mappings."""
    if isinstance(thing, Tensor):
        return thing.detach().clone().requires_grad_(thing.requires_grad)
    if isinstance(thing, tuple):
        parts = [fresh(part) for part in thing]
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    if type(thing) is list:
        return [fresh(part) for part in thing]
    if isinstance(thing, MutableMapping):
        alike = copy.copy(thing)
        for key in thing:
            alike[key] = fresh(thing[key])
        return alike
    return thing


def kept(thing: Any) -> Tensor | None:
    """A copy of a tensor to be looked at later; None for other things and for tensors inside of `torch.func`'s maps."""
    if not isinstance(thing, Tensor) or is_functorch_wrapped_tensor(thing):
        return None
    return thing.detach().clone()


def is_finite(t: Tensor) -> bool:
    """Whether no number is NaN or infinite; yes for layouts that torch cannot tell it of, such as nested ones."""
    try:
        return bool(t.isfinite().all())
    except RuntimeError:
        return True


def text_of(error: Exception) -> str:
    """An error's message; empty for errors of users' classes that cannot be printed."""
    try:
        return str(error)
    except Exception:
        return ""


def one_line(error: Exception) -> str:
    """An error in one short line."""
    text = " ".join(text_of(error).split()).rstrip(".") or "no message"
    return f"{type(error).__name__}: {text if len(text) <= 160 else text[:157] + '...'}"


def form(thing: Any) -> str:
    """A tensor's dtype and shape, or the type of anything else."""
    thing = thing.outputs if isinstance(thing, Passed) else thing
    if not isinstance(thing, Tensor):
        return f"a {type(thing).__name__}"
    return f"{thing.dtype} {'nested' if thing.is_nested else list(thing.shape)}"
