"""The tensors that a training holds in this process: weights, buffers, gradients and the optimizers' state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from regtorch.numerics.sharded import is_sharded

__all__ = ["buffers_of", "tensors_of", "values_of"]


def values_of(grad: Tensor) -> Tensor:
    """A gradient's numbers in this process."""
    local = grad.to_local() if is_sharded(grad) else grad  # pyright: ignore[reportAttributeAccessIssue]
    return local._values() if local.layout == torch.sparse_coo else local


def tensors_of(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers by their names in checkpoints, and the state of the optimizers."""
    yield from _floats(module.named_parameters())
    yield from buffers_of(module)
    names = {id(p): name.removeprefix("net.") for name, p in module.named_parameters()}
    for optimizer in trainer.optimizers:
        for p, state in optimizer.state.items():
            of = f"of {names.get(id(p), 'a weight')} in {type(optimizer).__name__}"
            yield from _floats((f"{key} {of}", value) for key, value in state.items() if isinstance(value, Tensor))


def buffers_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that checkpoints hold."""
    for path, part in module.named_modules():
        kept = ((name, value) for name, value in part._buffers.items() if name not in part._non_persistent_buffers_set)
        prefix = f"{path}." if path else ""
        yield from _floats((prefix + name, value) for name, value in kept if value is not None)


def _floats(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """This process's part of those tensors that have floating-point numbers."""
    for name, tensor in tensors:
        part = tensor.to_local() if is_sharded(tensor) else tensor  # pyright: ignore[reportAttributeAccessIssue]
        if part.is_floating_point() and part.numel() and part.layout == torch.strided:
            yield name, part.detach()
