"""Calls of a net that are made once more than its user asked for, and leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from regtorch.numerics.generators import of_python_kept, of_torch_kept
from regtorch.steps.one_pass.reasons import NotWhole

__all__ = ["Trial", "gradients"]

_CHANGING = (list, dict, set)


class Trial:
    """Remembers what calls of modules on a batch may change: their attributes and buffers, the batch, random numbers.

    Args:
        modules: all that are called, with those inside.
        batch: what they receive.
    """

    def __init__(self, modules: Iterable[nn.Module], batch: Any) -> None:
        parts = {id(part): part for module in modules for part in module.modules()}.values()
        self._generators = [*of_torch_kept(), *of_python_kept()]
        self._attributes = [(holder, holder.copy()) for part in parts for holder in _holders(part)]
        buffers = [b for part in parts for b in part._buffers.values() if b is not None]
        given = [t for t in tree_leaves(batch) if isinstance(t, Tensor) and not t.is_inference()]
        self._buffers = [(b, b.clone()) for b in buffers if not isinstance(b, nn.UninitializedBuffer)]
        self._given = [(t, t.detach().clone(), t._version) for t in given]

    @torch.no_grad()
    def undo(self) -> None:
        """Make everything as it was."""
        for restore in self._generators:
            restore()
        for holder, before in self._attributes:
            _refill(holder, before)
        for buffer, before in self._buffers:
            buffer.copy_(before)
        for tensor, before, version in self._given:
            if tensor._version != version:
                tensor.copy_(before)


def _holders(part: nn.Module) -> list[Any]:
    """The attributes of a module, and collections among them, which change without being replaced."""
    own = vars(part)
    return [own, *(value for value in own.values() if type(value) in _CHANGING)]


def _refill(holder: Any, before: Any) -> None:
    fill: Callable[[Any], None] = holder.extend if isinstance(holder, list) else holder.update
    holder.clear()
    fill(before)


@contextmanager
def gradients(loss: Tensor, net: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """The gradients of the net's and the optimizer's weights, and of no others, for a while; the graph stays.

    Raises:
        NotWhole: the net only has gradients within `backward`.
    """
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    weights = [p for p in {id(p): p for p in [*net.parameters(), *owned]}.values() if p.requires_grad]
    before = [p.grad for p in weights]
    try:
        found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    except RuntimeError as error:  # or `backward` raises it as well
        raise NotWhole(f"torch.autograd.grad raises {type(error).__name__}: {error}") from error
    try:
        for p, grad in zip(weights, found, strict=True):
            p.grad = grad
        yield
    except BaseException:
        for p, grad in zip(weights, before, strict=True):
            p.grad = grad
        raise
