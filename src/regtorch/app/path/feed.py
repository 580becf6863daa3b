"""The batches of a path's members; members of one seed share theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from regtorch.app.data import ArraysDataModule
from regtorch.app.data.arrays import Arrays
from regtorch.app.data.batches import Batches, fits
from regtorch.app.data.order import Order
from regtorch.app.path.draws import Draws
from regtorch.app.path.followed import Settings, limited

__all__ = ["Feed"]


class Feed:
    """Batches for the members of a path."""

    def __init__(self, data: ArraysDataModule, settings: Settings) -> None:
        self._data = data
        self._settings = settings
        self._parts: dict[str, Arrays] = {}

    def _part(self, stage: str) -> Arrays:
        """A part of the data, on the device if it fits; cached for all chunks."""
        if stage not in self._parts:
            part: Arrays = getattr(self._data.splits, stage)
            device = self._settings.device
            self._parts[stage] = part.to(device) if device.type == "cuda" and fits(part, device) else part
        return self._parts[stage]

    def count(self, stage: str) -> int:
        """The number of batches of a complete epoch."""
        batches = len(Batches(self._part(stage), self._data.batch_size, training=stage == "train"))
        return limited(stage, batches, self._settings.limits[stage])

    @property
    def epochs(self) -> int:
        """The number of epochs, the last of which may be incomplete."""
        epochs, steps = self._settings.epochs, self._settings.steps
        bounds = [epochs, None if steps is None else -(-steps // self.count("train"))]
        return min(bound for bound in bounds if bound is not None)

    def steps(self, epoch: int) -> int:
        """The number of training steps of an epoch, counted from 1; the last epoch may be shorter."""
        batches, most = self.count("train"), self._settings.steps
        return batches if most is None else min(batches, most - (epoch - 1) * batches)

    def train(
        self, epoch: int, orders: Sequence[Order], draws: Draws, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, counted from 1, as in single runs; with several seeds, dim 0 is the members'.

        Args:
            epoch: counted from 1.
            orders: of the samples, by seed.
            draws: the members' seeds.
            first: the first batch, counted from 0.
        """
        part, size = self._part("train"), self._data.batch_size
        batches = [Batches(part, size, order, training=True).of_epoch(epoch - 1, first) for order in orders]
        for number, parts in enumerate(islice(zip(*batches, strict=True), self.steps(epoch) - first), first):
            moved = [self._moved(*part) for part in parts]
            if self._data.augment is not None:
                for seed, (order, (x, y)) in enumerate(zip(orders, moved, strict=True)):
                    with order.seeded(x.device, epoch - 1, number):
                        moved[seed] = self._data.changed((x, y))
            if len(moved) == 1:
                yield moved[0]
            else:
                xs, ys = (torch.stack(tensors)[draws.of_member] for tensors in zip(*moved, strict=True))
                yield xs, ys

    def evaluate(self, stage: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of "val" or "test"."""
        batches = Batches(self._part(stage), self._data.batch_size)
        return (self._moved(*batch) for batch in islice(batches, self.count(stage)))

    def _moved(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        device, dtype = self._settings.device, self._settings.dtype
        return _as(x, device, dtype), _as(y, device, dtype)


def _as(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
