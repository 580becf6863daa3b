"""Batches out of memory: no worker processes and nothing done sample by sample."""

from collections.abc import Iterator

import torch
from torch import Generator

from regtorch.data.arrays import Arrays, Batch

__all__ = ["Batches", "fits"]


class Batches:
    """One part of a data set in batches, on the device that holds it; each of several processes gets its share.

    Args:
        part: The samples.
        batch_size: Samples a batch of one process; the last batch may be smaller.
        shuffling: Draws a new order each epoch; None keeps the samples' own.
        training: Give every process the same number of samples, the first ones again where they do not divide, and
            leave out a last batch of one sample beside others, as batch norm cannot train on it.
        rank: This process's number.
        world: How many processes there are; their generators must agree.
    """

    def __init__(
        self,
        part: Arrays,
        batch_size: int,
        shuffling: Generator | None = None,
        *,
        training: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.part = part
        self.batch_size = batch_size
        self.shuffling = shuffling
        self.training = training
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        return -(-self._count() // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # Drawn when iteration begins, not at its first batch: what is drawn between the two must not matter.
        count = len(self.part)
        order = torch.arange(count) if self.shuffling is None else torch.randperm(count, generator=self.shuffling)
        if self.training and count % self.world:
            whole = count + self.world - count % self.world
            order = order.repeat(-(-whole // count))[:whole]
        order = order[self.rank :: self.world][: self._count()].to(self.part.images.device)
        return (self.part.batch(chosen) for chosen in order.split(self.batch_size))

    def _count(self) -> int:
        """How many samples this process gets."""
        count = len(self.part)
        share = -(-count // self.world) if self.training else len(range(self.rank, count, self.world))
        lone = share % self.batch_size == 1 and 1 < self.batch_size < share
        return share - 1 if self.training and lone else share


def fits(part: Arrays, device: torch.device) -> bool:
    """Whether a part can lie on a CUDA device and leave most of the memory to the training."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (part.images, part.labels))
    return size <= torch.cuda.mem_get_info(device)[0] // 4
