"""Document 004's binary classification of windows of 6 time series, generated."""

import math
from statistics import NormalDist
from typing import Unpack

import torch

from regtorch.app.data.arrays import SPLIT_SEED, Arrays, Splits
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.options import Options
from regtorch.checks import integer, number, share

__all__ = ["Windows"]

_SERIES = 6


class Windows(ArraysDataModule):
    """Windows (N, 6, size) of 6 series with a label of 0 or 1; generated, as the document lacks its data.

    A window is white noise plus (label 1) or minus (label 0) a fixed pattern of norm `signal`, a sine wave in each
    series, so the best possible accuracy is known: `best_accuracy`. The random numbers are always the same.

    As with Keras's `validation_split`, the last samples are the validation part: with `sorted`, label 0 comes first,
    so the two parts have different labels. The test part has a fifth as many further windows, never sorted. `dir` and
    `download` have no effect.

    Args:
        samples: The number of windows for training and validation.
        size: The length of the windows.
        balance: The share of label 1.
        sorted: Whether samples are sorted by label instead of mixed.
        signal: The norm of the pattern, in standard deviations of the noise.
        val_share: The share of the validation part.
        **options: `num_classes` (2), `batch_size` (40), `seed` (of the shuffling alone); see `ArraysDataModule`.
    """

    title = "windows"
    images = False
    class_names = ("negative", "positive")

    def __init__(
        self,
        dir: str = "data",
        *,
        samples: int = 2000,
        size: int = 20,
        balance: float = 0.5,
        sorted: bool = False,
        signal: float = 2.0,
        val_share: float = 0.2,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(dir, **(Options(num_classes=2, batch_size=40) | options))
        self.samples = integer(self.title, "samples", samples, low=10)
        self.size = integer(self.title, "size", size, low=2)
        self.balance = share(self.title, "balance", balance)
        self.sorted = sorted
        self.signal = number(self.title, "signal", signal, low=0, above=True)
        self.val_share = share(self.title, "val_share", val_share)

    @property
    def best_accuracy(self) -> float:
        """The expected accuracy of the best classifier, which knows the pattern and the balance."""
        normal, prior = NormalDist(), math.log((1 - self.balance) / self.balance) / (2 * self.signal)
        hits = normal.cdf(self.signal - prior), normal.cdf(self.signal + prior)
        return self.balance * hits[0] + (1 - self.balance) * hits[1]

    def load(self) -> Splits:
        everything = self._draw(self.samples, SPLIT_SEED, in_order=self.sorted)
        val_size = min(max(1, round(self.val_share * self.samples)), self.samples - 1)
        splits = Splits(
            everything.take(slice(-val_size)),
            everything.take(slice(-val_size, None)),
            self._draw(self.samples // 5, SPLIT_SEED + 1, in_order=False),
        )
        for name, part in splits._asdict().items():
            missing = {0, 1} - {*part.labels.tolist()}
            if missing and not self.sorted:
                raise ValueError(
                    f"balance and samples: the {name} part has no window of label {missing.pop()}; take more samples, "
                    f"a balance nearer to 0.5 or a larger part, received {self.balance} and {self.samples}"
                )
        self.remark = (
            f"windows: generated, {float(everything.labels.float().mean()):.1%} of label 1"
            f"{', sorted by label' if self.sorted else ''}; no classifier exceeds {self.best_accuracy:.1%}"
        )
        return splits

    def _draw(self, count: int, seed: int, *, in_order: bool) -> Arrays:
        numbers = torch.Generator().manual_seed(seed)
        positives = min(max(1, round(self.balance * count)), count - 1)
        labels = (torch.arange(count) >= count - positives).to(torch.int64)
        if not in_order:
            labels = labels[torch.randperm(count, generator=numbers)]
        noise = torch.randn(count, _SERIES, self.size, generator=numbers)
        time = torch.arange(self.size) / self.size
        pattern = torch.stack([torch.sin(2 * torch.pi * (time + series / _SERIES)) for series in range(_SERIES)])
        pattern *= self.signal / pattern.norm()
        return Arrays(noise + (2 * labels - 1).view(-1, 1, 1) * pattern, labels)
