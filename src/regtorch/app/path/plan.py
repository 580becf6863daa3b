"""How many members fit side by side, and which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from regtorch.app.path.members import Member

__all__ = ["available_memory", "chunks_of", "fitting"]

_SHARE = 0.5  # of the memory that is free
_ENOUGH = 8  # members of a seed that share their batches are faster by themselves than beside those of other seeds


def chunks_of(
    members: Sequence[Member], seeds: Sequence[int | None], most: int, *, by_seed: bool = False
) -> list[list[Member]]:
    """Members to be trained side by side, at most so many at a time.

    Members of one seed share their batches, so that a batch is taken once for all and the first layer is one product.
    Seeds are kept apart where each has enough members for that to pay.
    """
    groups: dict[int | None, list[Member]] = {}
    for member, seed in zip(members, seeds, strict=True):
        groups.setdefault(seed, []).append(member)
    apart = by_seed or min(len(group) for group in groups.values()) >= _ENOUGH
    parts = list(groups.values()) if apart else [[member for group in groups.values() for member in group]]
    return [chunk for part in parts for chunk in _evenly(part, most)]


def _evenly(members: list[Member], most: int) -> list[list[Member]]:
    count = -(-len(members) // most)
    size = -(-len(members) // count)
    return [members[first : first + size] for first in range(0, len(members), size)]


def fitting(bytes_a_member: float, device: torch.device) -> int:
    """How many members the free memory holds, and one at least."""
    return max(1, int(_SHARE * available_memory(device) / max(1.0, bytes_a_member)))


def available_memory(device: torch.device) -> int:
    """Free bytes: of the device, or of this machine within the bounds that a container sets."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_of_machine(), _of_container())


def _of_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _of_container() -> int:
    root = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int((root / limit).read_text()) - int((root / used).read_text()))
        except (OSError, ValueError):
            continue  # another version of cgroups, or "max"
    return 1 << 62
