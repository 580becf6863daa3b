"""Chunks of members that are trained side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from regtorch.app.path.members import Member
from regtorch.memory import free_memory

__all__ = ["available_memory", "chunks_of", "fitting"]

_SHARE = 0.5  # of the free memory
_ENOUGH = 8  # from this many members on, a seed is faster in its own chunk


def chunks_of(
    members: Sequence[Member], seeds: Sequence[int | None], most: int, *, by_seed: bool = False
) -> list[list[Member]]:
    """Split members into chunks of at most `most`.

    Members of one seed share their batches, so each batch is loaded once and the first layer is one product. Seeds are
    kept apart if each has enough members for that to be faster, or if `by_seed`.
    """
    groups: dict[int | None, list[Member]] = {}
    for member, seed in zip(members, seeds, strict=True):
        groups.setdefault(seed, []).append(member)
    separate = by_seed or min(len(group) for group in groups.values()) >= _ENOUGH
    parts = list(groups.values()) if separate else [[member for group in groups.values() for member in group]]
    return [chunk for part in parts for chunk in _evenly(part, most)]


def _evenly(members: list[Member], most: int) -> list[list[Member]]:
    count = -(-len(members) // most)
    size = -(-len(members) // count)
    return [members[first : first + size] for first in range(0, len(members), size)]


def fitting(bytes_a_member: float, device: torch.device) -> int:
    """The number of members that fit into free memory, at least 1."""
    return max(1, int(_SHARE * available_memory(device) / max(1.0, bytes_a_member)))


def available_memory(device: torch.device) -> int:
    """Free bytes of the device, or of this machine within its container's limits."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_memory()
