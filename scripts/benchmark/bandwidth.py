"""The machine's memory bandwidth, and what a rule must move at least."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["moved_by_stream", "stream"]


def stream(device: torch.device | str, numbers: int) -> Callable[[], object]:
    """Make a big in-place add, which the memory alone slows where the arrays are far larger than the caches."""
    into, what = (torch.zeros(numbers, device=device) for _ in range(2))
    return lambda: into.add_(what)


def moved_by_stream(numbers: int) -> int:
    """Bytes that one such add moves: it reads both arrays and writes one."""
    return 3 * 4 * numbers
