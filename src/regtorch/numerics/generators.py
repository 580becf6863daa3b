"""The global random number generators, and functions that put them back as they are now."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch

__all__ = ["of_python_kept", "of_torch_kept"]


def of_torch_kept() -> Iterator[Callable[[], object]]:
    """Functions that restore torch's generators, CUDA's where it is in use."""
    if torch.cuda.is_initialized():
        yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    yield partial(torch.set_rng_state, torch.get_rng_state())


def of_python_kept() -> Iterator[Callable[[], object]]:
    """Functions that restore Python's generator and NumPy's, if it is loaded."""
    yield partial(random.setstate, random.getstate())
    if "numpy" in sys.modules:
        numpy_random = sys.modules["numpy"].random
        yield partial(numpy_random.set_state, numpy_random.get_state())
