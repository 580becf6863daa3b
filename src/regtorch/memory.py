"""The memory that this process can still get."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

__all__ = ["free_memory"]


def free_memory() -> int:
    """Free bytes of this machine, within the limits of the container and of the process."""
    return max(0, min(_machine(), _container(), _process()))


def _machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 1 << 40


def _container() -> int:
    root = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return int((root / limit).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):
            continue  # another version of cgroups, or "max"
    return 1 << 62


def _process() -> int:
    """What `ulimit -v` leaves."""
    most = -1 if resource is None else resource.getrlimit(resource.RLIMIT_AS)[0]
    if most < 0:
        return 1 << 62
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        return most
    return most - pages * os.sysconf("SC_PAGE_SIZE")
