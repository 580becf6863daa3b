"""Restore weights, buffers, gradients, modes and random number generators."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["others_left_alone", "random_numbers_restored", "restored", "seed"]

_OTHERS_LEFT_ALONE: ContextVar[bool] = ContextVar("others_left_alone", default=False)


@contextmanager
def restored(model: nn.Module, *beside: nn.Module | nn.Parameter) -> Iterator[None]:
    """Restore `model`, `beside` and every random number generator bit for bit, whatever happens inside.

    Gradients are None at first inside. Buffers and parameters keep their identity.
    """
    modules = [module for root in (model, *beside) if isinstance(root, nn.Module) for module in root.modules()]
    loose = [p for p in beside if isinstance(p, nn.Parameter)]
    parameters = [*(p for module in modules for p in module._parameters.values() if p is not None), *loose]
    buffers = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]
    with random_numbers_restored(), _undone() as undo:
        undo.extend([_keep(tensor) for tensor in {id(t): t for t in (*parameters, *buffers)}.values()])
        for p in parameters:
            undo.append(partial(_put_grad, p, p.grad, p.requires_grad))
            p.grad = None
        for module in modules:
            stores = module._parameters, module._buffers, module._modules, module._non_persistent_buffers_set
            undo.append(partial(_refill, module, module.training, [(store, store.copy()) for store in stores]))
        yield


@contextmanager
def _undone() -> Iterator[list[Callable[[], object]]]:
    """Functions that are called at the end, last first, each even if another one fails: ExitStack is slow."""
    undo: list[Callable[[], object]] = []
    try:
        yield undo
    finally:
        error: BaseException | None = None
        with torch.no_grad():
            for function in reversed(undo):
                try:
                    function()
                except BaseException as own:  # Ctrl-C, too
                    error = own
        if error is not None:
            raise error


def _keep(tensor: Tensor) -> Callable[[], None]:
    """A function that writes a tensor's values back into its present memory."""
    here = tensor.detach()  # the same memory, even if the tensor's shape changes
    value = _without_repeats(here).clone()

    def put_back() -> None:
        if not _alike(tensor, here):
            tensor.data = here
        _without_repeats(here).copy_(value)

    return put_back


def _without_repeats(t: Tensor) -> Tensor:
    """The part of an expanded tensor that exists in memory."""
    if t.layout is not torch.strided or 0 not in t.stride():
        return t
    return t[tuple(slice(None, 1 if stride == 0 else None) for stride in t.stride())]


def _alike(a: Tensor, b: Tensor) -> bool:
    if a.layout is not torch.strided:
        return True
    return (a.dtype, a.shape, a.stride(), a.data_ptr()) == (b.dtype, b.shape, b.stride(), b.data_ptr())


def _put_grad(p: nn.Parameter, grad: Tensor | None, requires: bool) -> None:
    p.grad = grad
    if p.requires_grad != requires:
        p.requires_grad_(requires)


def _refill(module: nn.Module, training: bool, kept: Sequence[tuple[Any, Any]]) -> None:
    module.training = training
    for store, items in kept:
        store.clear()
        store.update(items)


def seed(value: int) -> None:
    """Seed the generators that `random_numbers_restored` restores; `torch.manual_seed` also defers a seed to CUDA."""
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)


@contextmanager
def random_numbers_restored(*own: torch.Generator) -> Iterator[None]:
    """Restore Python's, NumPy's and torch's random numbers, and the given generators."""
    with _undone() as undo:
        undo.extend(partial(generator.set_state, generator.get_state()) for generator in own)
        if torch.cuda.is_initialized():
            undo.append(partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
        undo.append(partial(torch.set_rng_state, torch.get_rng_state()))
        if not _OTHERS_LEFT_ALONE.get():
            undo.append(partial(random.setstate, random.getstate()))
            if "numpy" in sys.modules:
                numpy_random = sys.modules["numpy"].random
                undo.append(partial(numpy_random.set_state, numpy_random.get_state()))
        yield


@contextmanager
def others_left_alone(leave: bool) -> Iterator[None]:
    """Restore only torch's numbers inside if `leave`: the other generators' take ten times as long."""
    token = _OTHERS_LEFT_ALONE.set(leave)
    try:
        yield
    finally:
        _OTHERS_LEFT_ALONE.reset(token)
