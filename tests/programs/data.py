"""Small data sets, real and made up, in a training and a held-out part."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from data_files import SHARED_DATA

__all__ = ["Data", "is_here"]


@dataclass(frozen=True)
class Data:
    """Inputs and targets, and those held out."""

    x: Tensor
    y: Tensor
    vx: Tensor
    vy: Tensor


def _parted(x: Tensor, y: Tensor, train: int, held: int = 400, seed: int = 0) -> Data:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    a, b = order[:train], order[train : train + held]
    return Data(x[a], y[a], x[b], y[b])


def _own(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Real


def is_here(name: str) -> bool:
    """Whether a folder of real data is there, if a program needs one."""
    return not name or (SHARED_DATA / name).exists()


@cache
def _pictures(name: str) -> Data:
    raw = SHARED_DATA / name / "raw"
    x = np.frombuffer(gzip.decompress((raw / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((raw / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    pixels = torch.tensor(x.reshape(-1, 1, 28, 28)[:2500] / 255, dtype=torch.float32)
    return _parted(pixels, torch.tensor(y[:2500].astype(np.int64)), 2000)


def mnist() -> Data:
    return _pictures("MNIST")


def letters() -> Data:
    return _pictures("notMNIST")


@cache
def _of_sklearn(name: str) -> tuple[Tensor, Tensor]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def digits() -> Data:
    x, y = _of_sklearn("digits")
    return _parted((x / 16).view(-1, 1, 8, 8), y, 1280)


def irises() -> Data:
    return _parted(*_of_sklearn("iris"), 120)


def _standardised(data: Data) -> Data:
    mean, spread = data.x.mean(0), data.x.std(0)
    return Data((data.x - mean) / spread, data.y, (data.vx - mean) / spread, data.vy)


def raw_wines() -> Data:
    return _parted(*_of_sklearn("wine"), 140)


def wines() -> Data:
    return _standardised(raw_wines())


def raw_tumours() -> Data:
    x, y = _of_sklearn("breast_cancer")
    return _parted(x, y.float()[:, None], 416)


def tumours() -> Data:
    return _standardised(raw_tumours())


def progression() -> Data:
    """Diabetes: numbers from ten features, all standardised."""
    x, y = _of_sklearn("diabetes")
    y = y.float()[:, None]
    return _standardised(_parted(x, (y - y.mean()) / y.std(), 336))


@cache
def reviews() -> Data:
    """The most frequent 800 words of sentences: 1 if there."""
    from sklearn.feature_extraction.text import CountVectorizer

    folder = SHARED_DATA / "rt-polarity"
    texts = [(folder / f"rt-polarity.{end}").read_text("latin-1").split("\n")[:2000] for end in ("neg", "pos")]
    x = CountVectorizer(max_features=800, binary=True).fit_transform(texts[0] + texts[1]).toarray()
    y = torch.tensor([0.0] * len(texts[0]) + [1.0] * len(texts[1]))[:, None]
    return _parted(torch.tensor(x, dtype=torch.float32), y, 2400)


# Made up


def exclusive_or() -> Data:
    own = _own(1)
    corners = torch.randint(0, 2, (800, 2), generator=own).float()
    x = corners + 0.1 * torch.randn(800, 2, generator=own)
    return _parted(x, (corners[:, :1] != corners[:, 1:]).float(), 400)


def rings() -> Data:
    """Two classes, one around the other."""
    own = _own(2)
    y = torch.randint(0, 2, (1000,), generator=own)
    angle, radius = 2 * math.pi * torch.rand(1000, generator=own), 0.6 + y + 0.15 * torch.randn(1000, generator=own)
    return _parted(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), y, 600)


def patients() -> Data:
    """Eight standardised features, yes or no with noise."""
    own = _own(3)
    x = torch.randn(1100, 8, generator=own)
    pull = x @ torch.randn(8, 1, generator=own) + x[:, :1] * x[:, 1:2]
    return _parted(x, (torch.rand(1100, 1, generator=own) < (1.5 * pull).sigmoid()).float(), 760)


def raw_patients() -> Data:
    """The same in units such as years and mg/dl."""
    data = patients()
    unit = torch.tensor([1.5, 30.0, 19.0, 10.0, 115.0, 8.0, 0.3, 11.0])
    middle = torch.tensor([4.0, 120.0, 70.0, 21.0, 150.0, 32.0, 0.5, 33.0])
    return Data(data.x * unit + middle, data.y, data.vx * unit + middle, data.vy)


def houses() -> Data:
    """Friedman's function of ten features, standardised."""
    own = _own(4)
    x = torch.rand(1600, 10, generator=own)
    y = 10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y - 14.4) / 4.9 + 0.1 * torch.randn(1600, generator=own)
    return _parted(x * 3.46 - 1.73, y[:, None], 1200)


def sine() -> Data:
    x = 6 * torch.rand(900, 1, generator=_own(5)) - 3
    return _parted(x, x.sin(), 500)


def waves() -> Data:
    """The next value of a noisy wave after 12."""
    own = _own(6)
    start = 20 * torch.rand(1200, 1, generator=own)
    t = start + 0.5 * torch.arange(13)
    series = t.sin() * (0.8 + 0.2 * (0.3 * t).cos()) + 0.03 * torch.randn(1200, 13, generator=own)
    return _parted(series[:, :12, None], series[:, 12:], 800)


def signals() -> Data:
    """Three kinds of series of four channels."""
    own = _own(7)
    y = torch.randint(0, 3, (1200,), generator=own)
    t = torch.arange(16.0)[None, :, None] * (0.3 + 0.3 * y)[:, None, None]
    x = (t + 6 * torch.rand(1200, 1, 4, generator=own)).sin() + 0.4 * torch.randn(1200, 16, 4, generator=own)
    return _parted(x, y, 800)


def sentences() -> Data:
    """Words of which some are good and some are bad."""
    own = _own(8)
    x = torch.randint(0, 200, (1600, 20), generator=own)
    feeling = torch.randn(200, generator=own)
    y = feeling[x].sum(1) + 0.5 * torch.randn(1600, generator=own) > 0
    return _parted(x, y.float()[:, None], 1200)


def topics() -> Data:
    data = sentences()
    return Data(data.x, data.y[:, 0].long(), data.vx, data.vy[:, 0].long())


def tags() -> Data:
    """Six yes-or-no labels that hang together."""
    own = _own(9)
    x = torch.randn(1400, 16, generator=own)
    y = (x @ torch.randn(16, 6, generator=own) + 1 > 0).float()
    return _parted(x, y, 1000)


def textures() -> Data:
    """Coloured stripes of five kinds, 16x16."""
    own = _own(10)
    y = torch.randint(0, 5, (1000,), generator=own)
    at = torch.arange(16.0)
    across = at[:, None] * torch.tensor([0.0, 0.5, 1.0, 0.5, 1.0])[y][:, None, None]
    down = at[None, :] * torch.tensor([1.0, 0.5, 0.0, -0.5, 1.0])[y][:, None, None]
    wave = (across + down + 6 * torch.rand(1000, 1, 1, generator=own)).sin()[:, None]
    return _parted(
        wave * torch.rand(1000, 3, 1, 1, generator=own) + 0.5 * torch.randn(1000, 3, 16, 16, generator=own), y, 640
    )


def regions() -> Data:
    """Which pixels lie in a bright square."""
    own = _own(11)
    corner = torch.randint(0, 8, (500, 2), generator=own)
    at = torch.arange(14)
    inside = [(at >= corner[:, i : i + 1]) & (at < corner[:, i : i + 1] + 6) for i in (0, 1)]
    y = inside[0][:, :, None] & inside[1][:, None, :]
    return _parted(y[:, None] + 0.5 * torch.randn(500, 1, 14, 14, generator=own), y.long(), 320, 160)


def changed(
    make: Callable[[], Data], x: Callable[[Tensor], Tensor], y: Callable[[Tensor], Tensor]
) -> Callable[[], Data]:
    """Data with inputs and targets changed in both parts."""

    def changing() -> Data:
        data = make()
        return Data(x(data.x), y(data.y), x(data.vx), y(data.vy))

    return changing
