"""Batches from arrays in memory, without worker processes or work for each sample."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from regtorch.app.data.arrays import Arrays, Batch
from regtorch.app.data.order import Order

__all__ = ["Batches", "fits"]


def _epoch_zero() -> int:
    return 0


class Batches:
    """The batches of one part of a data set, on its device; each of several processes gets its share.

    With `state_dict` and `load_state_dict` an interrupted epoch continues at its next batch.

    Args:
        part: The samples.
        batch_size: Samples a batch of one process; the last batch may be smaller.
        order: The order of the samples in each epoch; None keeps theirs.
        training: Give every process the same number of samples, repeating the first ones if needed, and leave out a
            last batch of one sample after other batches, on which batch norm cannot train.
        rank: This process's index.
        world: The number of processes; their orders must agree.
        epoch: Returns the epoch, counted from 0; called when the first batch of a pass is taken.
    """

    def __init__(
        self,
        part: Arrays,
        batch_size: int,
        order: Order | None = None,
        *,
        training: bool = False,
        rank: int = 0,
        world: int = 1,
        epoch: Callable[[], int] = _epoch_zero,
    ) -> None:
        self.part = part
        self.batch_size = batch_size
        self.order = order
        self.training = training
        self.rank = rank
        self.world = world
        self._epoch = epoch
        self._position: dict[str, int] = {}  # after the last batch taken
        self._resumed: dict[str, int] = {}

    def __len__(self) -> int:
        return -(-self._count() // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # Decide nothing before the first batch is taken: a trainer makes iterators that it does not use.
        resumed, self._resumed = self._resumed, {}
        return self._pass(resumed)

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `first` on, both counted from 0."""
        order = self._samples(epoch).to(self.part.images.device)
        return (self.part.batch(chosen) for chosen in order.split(self.batch_size)[first:])

    def samples(self, epoch: int, number: int) -> Tensor:
        """The indices of the samples in batch `number` of an epoch, both counted from 0."""
        return self._samples(epoch).split(self.batch_size)[number]

    def _samples(self, epoch: int) -> Tensor:
        count = len(self.part)
        order = torch.arange(count) if self.order is None else self.order.samples(count, epoch)
        if self.training and count % self.world:
            padded = count + self.world - count % self.world
            order = order.repeat(-(-padded // count))[:padded]
        return order[self.rank :: self.world][: self._count()]

    def state_dict(self) -> dict[str, Any]:
        """The position in the last pass, for checkpoints."""
        return self._position.copy()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume the checkpoint's pass if the next pass is of the same epoch."""
        self._resumed = dict(state_dict)

    def _pass(self, resumed: dict[str, int]) -> Iterator[Batch]:
        epoch, taken = self._epoch(), 0
        batches = {"batch_size": self.batch_size, "samples": len(self.part), "world": self.world}
        if resumed.get("epoch") == epoch:  # a trainer that resumes at the end of an epoch starts the next one
            taken = resumed["taken"]
            if differing := [name for name, value in batches.items() if resumed[name] != value]:
                difference = ", ".join(f"{name}={resumed[name]}, received {batches[name]}" for name in differing)
                raise ValueError(
                    f"the checkpoint is from the middle of an epoch, with {difference}; resume with the same or from a "
                    "checkpoint from the end of an epoch"
                )
        for number, batch in enumerate(self.of_epoch(epoch, taken), taken + 1):
            self._position = {"epoch": epoch, "taken": number, **batches}
            yield batch

    def _count(self) -> int:
        count = len(self.part)
        share = -(-count // self.world) if self.training else len(range(self.rank, count, self.world))
        lone = share % self.batch_size == 1 and 1 < self.batch_size < share
        return share - 1 if self.training and lone else share


def fits(part: Arrays, device: torch.device) -> bool:
    """Whether a part fits in a quarter of a CUDA device's free memory."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (part.images, part.labels))
    return size <= torch.cuda.mem_get_info(device)[0] // 4
