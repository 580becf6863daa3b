"""What the measurements ran on, in words that can be published."""

from __future__ import annotations

import os
import platform
from importlib.util import find_spec
from pathlib import Path

import torch

__all__ = ["describe", "not_installed"]


def not_installed(*packages: str) -> str:
    """Which packages are not installed, in words; empty if all are."""
    absent = [package for package in packages if find_spec(package) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def describe(device: torch.device) -> dict[str, str | int | bool]:
    """The processor, the device, threads, and versions."""
    found: dict[str, str | int | bool] = {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "denormals": "flushed to 0, as scripts/train.py does",
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
