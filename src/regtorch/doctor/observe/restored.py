"""Restore weights, buffers, gradients, modes and random number generators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.observe.undo import Undo
from regtorch.numerics.generators import of_python_kept, of_torch_kept

__all__ = [
    "bindings_kept",
    "forward_only",
    "others_left_alone",
    "random_numbers_kept",
    "random_numbers_restored",
    "restored",
    "seed",
    "surroundings_kept",
]

_version_kept: Any = torch.autograd._unsafe_preserve_version_counter  # pyright: ignore[reportPrivateImportUsage]
_OTHERS_LEFT_ALONE: ContextVar[bool] = ContextVar("others_left_alone", default=False)


@contextmanager
def restored(model: nn.Module, *beside: nn.Module | nn.Parameter) -> Iterator[None]:
    """Restore `model`, `beside` and every random number generator bit for bit, whatever happens inside.

    Gradients are None at first inside. Buffers and parameters keep their identity, and the versions by which autograd
    tells whether they have changed: a graph that was built before can still be used.
    """
    modules, parameters = _parts(model, *beside)
    buffers = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]
    with _undone() as undo:
        undo.add(*random_numbers_kept(), *(_keep(t) for t in {id(t): t for t in (*parameters, *buffers)}.values()))
        undo.add(*bindings_kept(model, *beside))
        for p in parameters:
            p.grad = None
        yield


@contextmanager
def forward_only(model: nn.Module, *beside: nn.Module | nn.Parameter) -> Iterator[None]:
    """Without gradients, and restore what forward passes change: buffers, modes, parts and random numbers.

    Weights that a pass changes are restored at the end of the diagnosis: they change in every pass of training, too.
    """
    modules, _ = _parts(model, *beside)
    buffers = {id(b): b for module in modules for b in module._buffers.values() if b is not None}
    with _undone() as undo, torch.no_grad():
        undo.add(*random_numbers_kept(), *(_keep(t) for t in buffers.values()), *_parts_kept(modules))
        yield


def bindings_kept(model: nn.Module, *beside: nn.Module | nn.Parameter) -> Iterator[Callable[[], object]]:
    """Functions that give back the gradients, flags and hooks of parameters, the modes and parts of modules."""
    modules, parameters = _parts(model, *beside)
    for p in parameters:
        yield partial(_bind, p, p.grad, p.requires_grad, dict(p._backward_hooks or {}))
    yield from _parts_kept(modules)


def _parts_kept(modules: Sequence[nn.Module]) -> Iterator[Callable[[], object]]:
    for module in modules:  # scripted ones keep their parts themselves
        stores = module._parameters, module._buffers, module._modules, module._non_persistent_buffers_set
        kept = [(store, store.copy()) for store in stores if isinstance(store, dict | set)]
        yield partial(_refill, module, module.training, kept)


def _parts(*roots: nn.Module | nn.Parameter) -> tuple[list[nn.Module], list[nn.Parameter]]:
    """All modules, and all parameters."""
    modules = [module for root in roots if isinstance(root, nn.Module) for module in root.modules()]
    loose = [p for p in roots if isinstance(p, nn.Parameter)]
    return modules, [*(p for module in modules for p in module._parameters.values() if p is not None), *loose]


@contextmanager
def _undone() -> Iterator[Undo]:
    """What is put back at the end: ExitStack is slow."""
    undo = Undo()
    try:
        yield undo
    finally:
        undo.put_back()


def _keep(tensor: Tensor) -> Callable[[], None]:
    """A function that writes a tensor's values back into its present memory."""
    here = tensor.detach()  # the same memory, even if the tensor's shape changes
    version = None if tensor.is_inference() else _version_kept(tensor)
    value = _without_repeats(here).clone()

    def put_back() -> None:
        if not _alike(tensor, here):
            tensor.data = here
        _without_repeats(here).copy_(value)
        if version is not None:
            version.__exit__()

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


def _bind(p: nn.Parameter, grad: Tensor | None, requires: bool, hooks: dict[Any, Any]) -> None:
    p.grad = grad
    if p.requires_grad != requires:
        p.requires_grad_(requires)
    now: Any = p._backward_hooks
    if now is not None and now.keys() != hooks.keys():
        now.clear()
        now.update(hooks)


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
def random_numbers_restored() -> Iterator[None]:
    """Restore Python's, NumPy's and torch's random numbers."""
    with _undone() as undo:
        undo.add(*random_numbers_kept())
        yield


def random_numbers_kept(*own: torch.Generator) -> Iterator[Callable[[], object]]:
    """Functions that restore Python's, NumPy's and torch's random numbers, and the given generators."""
    for generator in own:
        yield partial(generator.set_state, generator.get_state())
    yield from of_torch_kept()
    if not _OTHERS_LEFT_ALONE.get():
        yield from of_python_kept()


def surroundings_kept() -> Iterator[Callable[[], object]]:
    """Functions that restore what surrounds the call: torch's modes, and the filters of warnings."""
    yield partial(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
    yield partial(torch.set_grad_enabled, torch.is_grad_enabled())
    yield partial(_pop_modes, torch._C._len_torch_function_stack())
    yield partial(_OTHERS_LEFT_ALONE.set, _OTHERS_LEFT_ALONE.get())
    warned = warnings.catch_warnings()
    warned.__enter__()
    yield partial(warned.__exit__, None, None, None)


def _pop_modes(count: int) -> None:
    while torch._C._len_torch_function_stack() > count:
        torch._C._pop_torch_function_stack()


@contextmanager
def others_left_alone(leave: bool) -> Iterator[None]:
    """Restore only torch's numbers inside if `leave`: the other generators' take ten times as long."""
    token = _OTHERS_LEFT_ALONE.set(leave)
    try:
        yield
    finally:
        _OTHERS_LEFT_ALONE.reset(token)
