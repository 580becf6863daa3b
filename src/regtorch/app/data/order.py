"""The random numbers of training data, as functions of seed, epoch and batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["Order"]


class Order:
    """The order of the samples in each epoch, and the random numbers that augment and mix each batch.

    Args:
        seed: Seeds all of them; None draws a seed.

    >>> bool((Order(7).samples(5, epoch=3) == Order(7).samples(5, epoch=3)).all())
    True
    """

    def __init__(self, seed: int | None = 0) -> None:
        self.seed = Generator().seed() if seed is None else int(seed)

    def samples(self, count: int, epoch: int) -> Tensor:
        """The order of the sample indices in an epoch, counted from 0."""
        return torch.randperm(count, generator=Generator().manual_seed(self._seed(epoch)))

    @contextmanager
    def seeded(self, device: torch.device, epoch: int, batch: int, rank: int = 0) -> Iterator[None]:
        """Seed PyTorch's generators for a batch (epoch and batch counted from 0); restore them after the block."""
        generators = _generators(device)
        before = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(self._seed(epoch, batch, rank))
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)

    def _seed(self, *position: int) -> int:
        """A seed from several numbers, of 32 bits, as PyTorch's CPU generator uses no more."""
        return int(np.random.SeedSequence([self.seed % 2**64, *position]).generate_state(1)[0])


def _generators(device: torch.device) -> list[Generator]:
    """PyTorch's global generators of the CPU and of a device."""
    if device.type == "cpu":
        return [torch.default_generator]
    of_devices = getattr(torch.get_device_module(device), "default_generators", ())
    return [torch.default_generator, *of_devices[device.index or 0 :][:1]]
