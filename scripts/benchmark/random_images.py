"""Random images in place of a data set."""

from collections.abc import Sequence
from typing import Any

import torch

from regtorch.app.data import ArraysDataModule
from regtorch.app.data.arrays import Arrays, Splits

__all__ = ["RandomImages"]


class RandomImages(ArraysDataModule):
    """As many bytes as the real images have, held as those are; a few for validation.

    Args:
        samples: training images.
        shape: channels, height and width.
        options: as every data set's.
    """

    title = "random images"

    def __init__(self, samples: int, shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.samples, self.shape = samples, tuple(shape)

    def load(self) -> Splits:
        return Splits(*(self._draw(n) for n in (self.samples, 2, 2)))

    def _draw(self, n: int) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (n, *self.shape), generator=generator, dtype=torch.uint8)
        return Arrays(images, torch.randint(0, self.num_classes or 1, (n,), generator=generator))
