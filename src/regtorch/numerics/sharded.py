"""Weights of which each process holds a part: PyTorch's DTensors, under FSDP2 and tensor parallelism.

Values are always the whole net's. Reading one is a collective operation: every process of the mesh must take part.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["is_flattened", "is_sharded", "part_like", "whole"]


def is_sharded(t: Tensor) -> bool:
    """Whether `t` is a DTensor."""
    return hasattr(t, "placements")


def is_flattened(t: Tensor) -> bool:
    """Whether `t` is a piece of FSDP1's flat buffer, whose shape says nothing of the weight's."""
    return type(t).__name__ == "FlatParameter" or getattr(t, "_fsdp_flattened", False)


def whole(t: Any) -> Tensor:
    """The tensor of all processes together, differentiable."""
    return t.full_tensor() if is_sharded(t) else t


def part_like(full: Tensor, sharded: Any) -> Tensor:
    """This process's part of `full`, which all have, laid out as `sharded`; nothing is sent."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh = sharded.device_mesh
    everywhere = DTensor.from_local(full, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(placements=sharded.placements)
