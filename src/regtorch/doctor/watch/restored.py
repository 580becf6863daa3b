"""Leaving everything as it was found: weights, buffers, gradients, modes, random numbers."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["random_numbers_restored", "restored", "seed"]


@contextmanager
def restored(model: nn.Module, *beside: nn.Module | nn.Parameter) -> Iterator[None]:
    """Bring `model`, what is `beside` it, and every random number generator back, to the bit, whatever happens inside.

    Gradients are set aside: inside there are none at first. Buffers and parameters keep their identity.
    """
    modules = [module for root in (model, *beside) if isinstance(root, nn.Module) for module in root.modules()]
    loose = [p for p in beside if isinstance(p, nn.Parameter)]
    parameters = [*(p for module in modules for p in module.parameters(recurse=False)), *loose]
    buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
    # What is undone is undone even where something else of it fails.
    with random_numbers_restored(), ExitStack() as undo:
        for tensor in {id(t): t for t in (*parameters, *buffers)}.values():
            undo.callback(_keep(tensor))
        for p in parameters:
            undo.callback(_put_grad, p, p.grad, p.requires_grad)
            p.grad = None
        for module in modules:
            undo.callback(setattr, module, "training", module.training)
            for store in (module._parameters, module._buffers, module._modules):
                undo.callback(_refill, store, dict(store))
            undo.callback(_refill_set, module._non_persistent_buffers_set, set(module._non_persistent_buffers_set))
        yield


@torch.no_grad()
def _keep(tensor: Tensor) -> Callable[[], None]:
    """What brings a tensor's numbers back, in the memory that they lie in now."""
    here = tensor.detach()  # the same memory, whatever becomes of the tensor's shape
    value = _without_repeats(here).clone()

    @torch.no_grad()
    def put_back() -> None:
        if not _alike(tensor, here):
            tensor.data = here
        _without_repeats(here).copy_(value)

    return put_back


def _without_repeats(t: Tensor) -> Tensor:
    """Of a tensor that was expanded, the part that is in memory."""
    if t.layout is not torch.strided or 0 not in t.stride():
        return t
    return t[tuple(slice(None, 1 if stride == 0 else None) for stride in t.stride())]


def _alike(a: Tensor, b: Tensor) -> bool:
    if a.layout is not torch.strided:
        return True
    return (a.dtype, a.shape, a.stride(), a.data_ptr()) == (b.dtype, b.shape, b.stride(), b.data_ptr())


def _put_grad(p: nn.Parameter, grad: Tensor | None, requires: bool) -> None:
    p.grad = grad
    p.requires_grad_(requires)


def _refill(store: dict[str, Any], items: dict[str, Any]) -> None:
    store.clear()
    store.update(items)


def _refill_set(store: set[str], items: set[str]) -> None:
    store.clear()
    store.update(items)


def seed(value: int) -> None:
    """Seed torch's random numbers, as far as `random_numbers_restored` brings them back.

    `torch.manual_seed` would beside that have CUDA seeded once it is first used, and takes a traceback for it.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)


@contextmanager
def random_numbers_restored(*own: torch.Generator) -> Iterator[None]:
    """Bring Python's, NumPy's and torch's random numbers back, and generators of one's own."""
    states: dict[str, Any] = {"python": random.getstate(), "cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if "numpy" in sys.modules:
        states["numpy"] = sys.modules["numpy"].random.get_state()
    with ExitStack() as undo:
        for generator in own:
            undo.callback(generator.set_state, generator.get_state())
        undo.callback(_set_random_states, states)
        yield


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "numpy" in states:
        sys.modules["numpy"].random.set_state(states["numpy"])
