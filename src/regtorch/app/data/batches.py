"""Batches out of memory: no worker processes and nothing done sample by sample."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from regtorch.app.data.arrays import Arrays, Batch
from regtorch.app.data.order import Order

__all__ = ["Batches", "fits"]


def _first() -> int:
    return 0


class Batches:
    """One part of a data set in batches, on the device that holds it; each of several processes gets its share.

    With `state_dict` and `load_state_dict` an interrupted epoch continues at its next batch.

    Args:
        part: The samples.
        batch_size: Samples a batch of one process; the last batch may be smaller.
        order: Of the samples in each epoch; None keeps their own.
        training: Give every process the same number of samples, the first ones again where they do not divide, and
            leave out a last batch of one sample after other batches, as batch norm cannot train on it.
        rank: This process's number.
        world: How many processes there are; their orders must agree.
        epoch: Tells which epoch it is, counted from 0; called when the first batch of a pass is taken.
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
        epoch: Callable[[], int] = _first,
    ) -> None:
        self.part = part
        self.batch_size = batch_size
        self.order = order
        self.training = training
        self.rank = rank
        self.world = world
        self._epoch = epoch
        self._place: dict[str, int] = {}  # of the last batch taken
        self._resumed: dict[str, int] = {}

    def __len__(self) -> int:
        return -(-self._count() // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # Nothing is decided before the first batch is taken: a trainer begins more passes than it makes.
        resumed, self._resumed = self._resumed, {}
        return self._pass(resumed)

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `first` on, both counted from 0."""
        count = len(self.part)
        order = torch.arange(count) if self.order is None else self.order.samples(count, epoch)
        if self.training and count % self.world:
            padded = count + self.world - count % self.world
            order = order.repeat(-(-padded // count))[:padded]
        order = order[self.rank :: self.world][: self._count()].to(self.part.images.device)
        return (self.part.batch(chosen) for chosen in order.split(self.batch_size)[first:])

    def state_dict(self) -> dict[str, Any]:
        """The position in the last pass, for checkpoints."""
        return self._place.copy()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume a checkpoint's pass, if the next pass is of the same epoch."""
        self._resumed = dict(state_dict)

    def _pass(self, resumed: dict[str, int]) -> Iterator[Batch]:
        epoch, taken = self._epoch(), 0
        batches = {"batch_size": self.batch_size, "samples": len(self.part), "world": self.world}
        if resumed.get("epoch") == epoch:  # a trainer that resumes at an epoch's end is in the next one
            taken = resumed["taken"]
            if differing := [name for name, value in batches.items() if resumed[name] != value]:
                difference = ", ".join(f"{name}={resumed[name]}, received {batches[name]}" for name in differing)
                raise ValueError(
                    f"the checkpoint is of the middle of an epoch with {difference}; resume with the same, or from a "
                    "checkpoint of an epoch's end"
                )
        for number, batch in enumerate(self.of_epoch(epoch, taken), taken + 1):
            self._place = {"epoch": epoch, "taken": number, **batches}
            yield batch

    def _count(self) -> int:
        count = len(self.part)
        share = -(-count // self.world) if self.training else len(range(self.rank, count, self.world))
        lone = share % self.batch_size == 1 and 1 < self.batch_size < share
        return share - 1 if self.training and lone else share


def fits(part: Arrays, device: torch.device) -> bool:
    """Whether a part can lie on a CUDA device and leave most of the memory to the training."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in (part.images, part.labels))
    return size <= torch.cuda.mem_get_info(device)[0] // 4
