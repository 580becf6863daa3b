"""Asking for CUDA without a price a step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["cheap_cuda_check"]

_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"


@contextmanager
def cheap_cuda_check() -> Iterator[None]:
    """On a machine without CUDA devices, let torch ask the CUDA runtime whether there are some, and not NVML.

    Lightning has it ask NVML, so that asking does not initialise CUDA before processes are forked. Optimizers ask at
    every step, and loading the library that is not there took an eighth of a step of a small net. Without a device
    there is nothing to initialise.
    """
    before = os.environ.get(_BY_NVML)
    if torch.cuda.device_count() == 0:
        os.environ[_BY_NVML] = "0"
    try:
        yield
    finally:
        if before is not None:
            os.environ[_BY_NVML] = before
        else:
            os.environ.pop(_BY_NVML, None)
