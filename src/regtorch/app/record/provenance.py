"""Where the numbers of a record come from: code, machine, data and command line."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import regtorch
from regtorch.numerics.sharded import is_sharded

__all__ = ["checksum", "data_checksums", "device_name", "provenance", "weights_checksum"]

_SECONDS = 5  # that git may take


def provenance(command: str, device: torch.device | str = "cpu", data: object = None) -> dict[str, Any]:
    """What a record says about its origin.

    Args:
        command: the command line that does the same again.
        device: the one that computes.
        data: its data module; checksums are of data in memory.

    Returns:
        `command`, `device_name`, `threads`, `deterministic`, `git` and `data`. `git`
        has the commit of the working directory, and of regtorch if that is another checkout; it is empty without git.
    """
    return {
        "command": command,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "git": _commits(Path.cwd(), Path(regtorch.__file__).parent),
        "data": data_checksums(data),
    }


def data_checksums(data: object) -> dict[str, str] | None:
    """The SHA-256 of each split's arrays; None for data that is not in memory."""
    if data is None:
        return None
    from regtorch.app.data.datamodule import ArraysDataModule  # here, not above: a search does not need Lightning

    if not isinstance(data, ArraysDataModule):
        return None
    return {name: checksum((part.images, part.labels)) for name, part in data.splits._asdict().items()}


def weights_checksum(net: nn.Module) -> str | None:
    """The SHA-256 of a net's weights and buffers; None if several processes hold parts of them."""
    tensors = [value for value in net.state_dict().values() if isinstance(value, Tensor)]
    return None if any(map(is_sharded, tensors)) else checksum(tensors)


def checksum(tensors: Iterable[Tensor]) -> str:
    """The SHA-256 of tensors: dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def device_name(device: torch.device | str) -> str:
    """The model of a GPU or of the processor."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _commits(folder: Path, package: Path) -> dict[str, Any]:
    found = {"folder": _commit(folder)}
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is not None:  # not merely inside another checkout
        found["regtorch"] = _commit(package)
    return {name: commit for name, commit in found.items() if commit is not None}


def _commit(folder: Path) -> Mapping[str, Any] | None:
    """The commit of a folder, and whether tracked files have changed since; None without git."""
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    """What git prints, or None; a repository's own settings start no program."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
