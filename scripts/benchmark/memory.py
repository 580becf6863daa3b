"""Peak memory of an act beyond what was there before it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from benchmark.alone import alone, chosen, with_gradients
from benchmark.nets import NetCase
from benchmark.settings import Settings
from benchmark.variants import variants

__all__ = ["Memory", "memory_of", "peak_of"]


@dataclass(frozen=True)
class Memory:
    """Extra peak memory of every rule and way on one net.

    Attributes:
        largest: bytes of the largest weight.
        extra: each variant's extra bytes.
    """

    net: str
    largest: int
    extra: Mapping[str, int]


def memory_of(case: NetCase, settings: Settings) -> Memory:
    """Measure every rule and way alone, on a net whose weights and gradients are there already."""
    gc.collect()  # nothing that was there before is to be freed meanwhile
    net = with_gradients(case.make().to(settings.device))
    what = [v for v in variants(("naive", "way 1", "way 2", "way 3")) if v.way]
    extra = {}
    for v in what:
        act = alone(net, v)
        act()  # what is kept from the first act on is no extra of the second
        extra[str(v)] = peak_of(act, settings.device)
    return Memory(case.name, max(w.numel() * w.element_size() for w in chosen(net)), extra)


def peak_of(act: Callable[[], object], device: torch.device) -> int:
    """Bytes held at most while `act` runs, beyond those held before.

    On a CPU it counts what torch's operators return, the operators of a backward pass among them; on CUDA whatever the
    allocator hands out, in its steps of 512 bytes.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        act()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _Storages() as storages:
        act()
    return storages.peak


class _Storages(TorchDispatchMode):
    """Follows the storages that are made while it is on, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, weakref.finalize[..., Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_iter((args, kwargs or {})):
            self._meet(tensor, new=False)
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            self._meet(tensor, new=True)
        return out

    def _meet(self, tensor: Any, *, new: bool) -> None:
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        size = storage.nbytes() if new else 0
        self._known[key] = weakref.finalize(storage, self._freed, key, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _freed(self, key: int, size: int) -> None:
        del self._known[key]
        self.live -= size
