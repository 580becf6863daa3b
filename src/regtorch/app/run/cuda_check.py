"""A cheap check for CUDA at each step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["cheap_cuda_check"]

_BY_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"


@contextmanager
def cheap_cuda_check() -> Iterator[None]:
    """On machines without CUDA devices, let torch query the CUDA runtime instead of NVML.

    Lightning selects NVML, which does not initialise CUDA before processes fork. Optimizers query at every step, and
    trying to load the missing library took an eighth of a step of a small net. Without devices nothing is initialised.
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
