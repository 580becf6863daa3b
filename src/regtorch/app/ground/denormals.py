"""Numbers too small for a CPU's fast arithmetic."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["flushed_denormals"]


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take float32 numbers below 1.2e-38 for 0, on the calling thread and on threads that it starts.

    A strong L2 under Adam drives weights and moments exponentially towards 0, and a CPU computes with such numbers many
    times slower: document 000's net takes 5 times as long a step. Worker threads inherit the setting when they are
    started, so this must come before the first work that is shared among them.
    """
    before = (torch.tensor(1e-40) * 1.0).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
