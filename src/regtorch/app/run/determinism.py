"""`trainer.deterministic`: one switch for everything in PyTorch that could make two equal runs differ."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["determinism"]

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def determinism(setting: Any) -> Iterator[None]:
    """Use deterministic algorithms inside the block, and restore PyTorch's settings after it.

    Args:
        setting: true: an operation without a deterministic algorithm raises; "warn": it warns; false or null: as
            PyTorch is set.
    """
    before = os.environ.get(_CUBLAS)
    flags = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        if setting:
            os.environ.setdefault(_CUBLAS, ":4096:8")  # before cuBLAS starts
            torch.use_deterministic_algorithms(True, warn_only=setting == "warn")
            torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])
        torch.backends.cudnn.benchmark = benchmark
        if before is None:
            os.environ.pop(_CUBLAS, None)
        else:
            os.environ[_CUBLAS] = before
