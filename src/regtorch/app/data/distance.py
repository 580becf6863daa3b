"""Document 004's regression: road distances between two points of a city, generated."""

from typing import Unpack

import torch
from torch import Tensor

from regtorch.app.data.arrays import SPLIT_SEED, Arrays, Splits
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.options import Options
from regtorch.checks import integer, share

__all__ = ["Distance", "great_circle"]

_NORTH, _WEST, _SOUTH, _EAST = 55.901819, 37.344735, 55.589537, 37.832254
_EARTH = 6_371_008.8  # metres, the mean radius
_DETOUR, _SPREAD = 0.3, 0.2
_TEST = 1000


class Distance(ArraysDataModule):
    """Road distances between random pairs of points in the document's rectangle around Moscow; generated, not measured.

    The document used a map service. Here a road is longer than the great circle by the factor 1 + 0.3·exp(0.2·z) with
    normal z, about 1.3. The random numbers are always the same. Inputs are (latitude, longitude) of both points,
    (N, 4), and targets (N, 1), in the document's units, degrees ÷ 100 and metres ÷ 100,000, or standardized with the
    training part's mean and deviation. The last of the `samples` pairs are the validation part (in the document 13 of
    100), and 1,000 more are the test part. `dir` and `download` have no effect.

    Args:
        samples: The number of pairs for training and validation.
        val_share: The share of the validation part.
        standardize: Whether inputs and targets have mean 0 and deviation 1 in the training part.
        **options: `num_classes` (None), `batch_size`, `seed` (of the shuffling alone); see `ArraysDataModule`.
    """

    title = "road distances"
    images = False
    remark = "road distances: generated, the great circle's length times a random factor around 1.3"

    def __init__(
        self,
        dir: str = "data",
        *,
        samples: int = 100,
        val_share: float = 0.13,
        standardize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(dir, **(Options(num_classes=None) | options))
        if self.num_classes is not None:
            raise ValueError(f"num_classes: {self.title} have no classes; expected null, received {self.num_classes}")
        self.samples = integer(self.title, "samples", samples, low=3)
        self.val_share = share(self.title, "val_share", val_share)
        self.standardize = standardize
        self._offset, self._scale = 0.0, 1e5

    def load(self) -> Splits:
        inputs, metres = _pairs(self.samples, SPLIT_SEED)
        test_inputs, test_metres = _pairs(_TEST, SPLIT_SEED + 1)
        val_size = min(max(1, round(self.val_share * self.samples)), self.samples - 2)
        train = slice(self.samples - val_size)
        centre, width = torch.zeros(4, dtype=torch.float64), torch.full((4,), 100.0, dtype=torch.float64)
        if self.standardize:
            width, centre = torch.std_mean(inputs[train], dim=0)
            self._offset, self._scale = float(metres[train].mean()), float(metres[train].std())

        def scaled(points: Tensor, lengths: Tensor) -> Arrays:
            return Arrays(((points - centre) / width).float(), ((lengths - self._offset) / self._scale).float())

        everything = scaled(inputs, metres)
        return Splits(
            everything.take(train),
            everything.take(slice(self.samples - val_size, None)),
            scaled(test_inputs, test_metres),
        )

    def metres(self, targets: Tensor) -> Tensor:
        """Convert targets or predictions to metres, after `setup()`."""
        return targets * self._scale + self._offset


def great_circle(points: Tensor) -> Tensor:
    """The great-circle distance in metres, by the haversine formula.

    Args:
        points: (N, 4), latitude and longitude of the start, then of the end, in degrees.

    Returns:
        (N, 1).
    """
    lat1, lon1, lat2, lon2 = torch.deg2rad(points).unbind(1)
    half = ((lat2 - lat1) / 2).sin() ** 2 + lat1.cos() * lat2.cos() * ((lon2 - lon1) / 2).sin() ** 2
    return (2 * _EARTH * half.sqrt().asin()).unsqueeze(1)


def _pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    low = torch.tensor([_SOUTH, _WEST] * 2, dtype=torch.float64)
    high = torch.tensor([_NORTH, _EAST] * 2, dtype=torch.float64)
    points = low + (high - low) * torch.rand(count, 4, dtype=torch.float64, generator=numbers)
    detour = _DETOUR * (_SPREAD * torch.randn(count, 1, dtype=torch.float64, generator=numbers)).exp()
    return points, great_circle(points) * (1 + detour)
