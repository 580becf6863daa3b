"""A trial step of two members, which shows whether the net can be stacked and the memory that a member takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.app.ground.errors import RunError, is_out_of_memory
from regtorch.app.path.draws import Draws
from regtorch.app.path.feed import Feed
from regtorch.app.path.prepared import Prepared
from regtorch.app.path.stacked import Stack
from regtorch.app.path.train import Trainer
from regtorch.app.record.command import command

__all__ = ["Probe", "probe"]

_FALLBACK = "There is a performance drop because we have not yet implemented the batching rule for "


@dataclass(frozen=True)
class Probe:
    """The result of a trial step."""

    bytes_a_member: float  # weights, gradients, optimizer state and saved activations
    draws: bool  # whether layers other than dropout draw random numbers, which only members of one seed can share
    slow: tuple[str, ...]  # operations that run member by member


def probe(start: Prepared, feed: Feed) -> Probe:
    """Make a step of the first two members and discard it."""
    chunk = start.members[:2]
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_FALLBACK)
        trainer = Trainer(start, chunk, feed)
        x, y = next(feed.train(1, trainer.orders, trainer.draws))
        saved: dict[int, int] = {}  # bytes by address

        def save(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with _named_module(trainer.stack.net), torch.autograd.graph.saved_tensors_hooks(save, lambda t: t):
            trainer._backward(x, y)
        trainer._step()
        first = (x[0], y[0]) if len(trainer.orders) > 1 else (x, y)
        draws = _draws(start, *first)
    for w in caught:
        if not str(w.message).startswith(_FALLBACK):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    slow = {str(w.message).removeprefix(_FALLBACK).partition(". ")[0] for w in caught} - {""}
    weights = sum(_size(p) for p in trainer.stack.params.values())
    state = sum(_size(v) for entries in trainer.optimizer.optimizer.state.values() for v in entries.values())
    buffers = sum(_size(b) for b in trainer.stack.buffers.values())
    # The backward pass allocates gradients of most saved tensors, and of the weights with a temporary copy.
    total = 3 * weights + state + buffers + 2 * sum(saved.values())
    return Probe(total / len(chunk), draws, tuple(sorted(slow)))


def _draws(start: Prepared, x: Tensor, y: Tensor) -> bool:
    """Whether the net draws random numbers without its dropout layers."""
    origin = next(iter(start.origins.values()))
    draws = Draws([origin.state], [0], start.settings.device)
    stack = Stack([origin.net], [{}], draws, device=start.settings.device, dtype=start.settings.dtype)
    before = draws.state()
    stack(lambda outputs, targets: outputs, x, y, training=True, apart=False)
    return not torch.equal(before, draws.state())


@contextmanager
def _named_module(net: nn.Module) -> Iterator[None]:
    """Name the module in which a net cannot be stacked, and the reason, in the error."""
    modules: list[str] = []

    def enter(name: str) -> Any:
        return lambda module, args: modules.append(f"{name} ({type(module).__name__})")

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        modules.pop()

    handles = [m.register_forward_pre_hook(enter(name or "the net itself")) for name, m in net.named_modules()]
    handles += [m.register_forward_hook(leave) for m in net.modules()]
    try:
        yield
    except (RuntimeError, ValueError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        where = f" because of {modules[-1]}" if modules else ""
        why = " ".join(str(error).split()).partition(", please")[0].partition(". Please")[0]
        raise RunError(
            f"{type(net).__name__} cannot be trained side by side{where}: {why}; "
            f"train its settings one after another with {command('train', ['-m'])}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def _size(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
