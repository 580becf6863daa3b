"""Sharded weights: PyTorch's DTensors, under FSDP2 and tensor parallelism.

Values are always those of the full network. Reading one is a collective operation for all processes of the mesh.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["full", "is_flattened", "is_sharded", "shard_like"]


def is_sharded(t: Tensor) -> bool:
    """Whether `t` is a DTensor."""
    return hasattr(t, "placements")


def is_flattened(t: Tensor) -> bool:
    """Whether `t` is part of FSDP1's flat buffer, which has lost the weight's shape."""
    return type(t).__name__ == "FlatParameter" or getattr(t, "_fsdp_flattened", False)


def full(t: Any) -> Tensor:
    """The full tensor, differentiable."""
    return t.full_tensor() if is_sharded(t) else t


def shard_like(tensor: Tensor, sharded: Any) -> Tensor:
    """This process's shard of `tensor`, which every process holds, in the layout of `sharded`; no communication."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = sharded.device_mesh
    everywhere = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(placements=sharded.placements)
