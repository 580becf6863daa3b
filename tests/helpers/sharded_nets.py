"""Small nets, and the ways in which processes share their weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

__all__ = ["NETS", "WAYS", "build", "like", "whole"]


def _dense(*sizes: int) -> nn.Module:
    first, second, third = sizes
    return nn.Sequential(nn.Linear(first, second), nn.Tanh(), nn.Linear(second, third))


def _images() -> nn.Module:
    """Units in dim 1, and an embedding."""
    layers = (nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 4, 2), nn.ConvTranspose2d(4, 6, 2, groups=2))
    return nn.Sequential(*layers, nn.Embedding(5, 3))


NETS: dict[str, Callable[[], nn.Module]] = {
    "even": lambda: _dense(4, 8, 4),
    "uneven": lambda: _dense(5, 5, 3),
    "one row": lambda: _dense(3, 1, 2),  # fewer than processes
    "images": _images,
}


def build(name: str) -> nn.Module:
    """A net in float64 with zeros, a zero unit among them."""
    model = NETS[name]().double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, dtype=p.dtype, generator=generator))
            p.view(-1)[:: 3 if p.ndim > 1 else 7] = 0.0
        if name in ("even", "uneven"):
            model[0].weight[1] = 0.0
    return model


@cache
def _mesh(*sizes: int) -> DeviceMesh:
    """Made once, as it costs many messages."""
    return init_device_mesh("cpu", sizes, mesh_dim_names=("outer", "inner")[: len(sizes)])


def _fsdp(model: nn.Module, mesh: DeviceMesh, **options: Any) -> None:
    for layer in (*(m for m in model.children() if any(True for _ in m.parameters())), model):
        fully_shard(layer, mesh=mesh, **options)


def _tensor_parallel(model: nn.Module, mesh: DeviceMesh) -> None:
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})


def _both(model: nn.Module, world: int) -> None:
    mesh = _mesh(world // 2, 2)
    _tensor_parallel(model, mesh["inner"])
    _fsdp(model, mesh["outer"])


WAYS: dict[str, Callable[[nn.Module, int], None]] = {
    "fsdp2": lambda model, world: _fsdp(model, _mesh(world)),
    "fsdp2 by columns": lambda model, world: _fsdp(
        model, _mesh(world), shard_placement_fn=lambda p: Shard(1) if p.ndim > 1 else None
    ),
    "hsdp": lambda model, world: _fsdp(model, _mesh(2, world // 2)),
    "tensor parallel": lambda model, world: _tensor_parallel(model, _mesh(world)),
    "fsdp2 and tensor parallel": _both,
}


def whole(t: Tensor) -> Tensor:
    """A copy of the full tensor."""
    return (t.full_tensor() if isinstance(t, DTensor) else t).detach().clone()


def like(full: Tensor, p: Any) -> Tensor:
    """This process's part of `full`, as `p` is cut."""
    if not isinstance(p, DTensor):
        return full
    mesh = p.device_mesh
    return DTensor.from_local(full, mesh, [Replicate()] * mesh.ndim, run_check=False).redistribute(
        placements=p.placements
    )
