"""The programs' nets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Attention", "ByMode", "Encoder", "Last", "UNet", "autoencoder", "cnn", "dense", "embedded", "residual"]

Act = Callable[[], nn.Module]


def dense(
    *widths: int, act: Act = nn.ReLU, norm: Callable[[int], nn.Module] | None = None, drop: float = 0.0
) -> nn.Module:
    """Linear layers, flat inputs, no activation behind the last."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), *([norm(after)] if norm else []), act()]
        layers += [nn.Dropout(drop)] if drop else []
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def cnn(
    channels: int,
    side: int,
    classes: int,
    *,
    width: int = 8,
    norm: Callable[[int], nn.Module] | None = None,
    drop: float = 0.0,
) -> nn.Module:
    """Two convolutions with pooling and two dense layers."""
    layers: list[nn.Module] = []
    for before, after in ((channels, width), (width, 2 * width)):
        layers += [nn.Conv2d(before, after, 3, padding=1), *([norm(after)] if norm else []), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(2 * width * (side // 4) ** 2, 32), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.Dropout(drop)] if drop else []), nn.Linear(32, classes))


class ByMode(nn.Module):
    """Changes its inputs in training, in evaluation, or in both."""

    def __init__(self, training: Callable[[Tensor], Tensor], evaluation: Callable[[Tensor], Tensor] = lambda x: x):
        super().__init__()
        self.changes = {True: training, False: evaluation}

    def forward(self, x: Tensor) -> Tensor:
        return self.changes[self.training](x)


class Last(nn.Module):
    """A recurrent layer and a dense one on its last output."""

    def __init__(self, kind: type[nn.RNN | nn.LSTM | nn.GRU], features: int, units: int, outputs: int) -> None:
        super().__init__()
        self.rnn, self.head = kind(features, units, batch_first=True), nn.Linear(units, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def embedded(words: int, width: int, outputs: int) -> nn.Module:
    """The mean of embeddings, and two dense layers."""
    return nn.Sequential(nn.Embedding(words, width), Mean(), nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, outputs))


class Attention(nn.Module):
    """A small transformer that classifies words."""

    def __init__(self, words: int, length: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.words(x) + self.places).mean(1))


class Encoder(nn.Module):
    """Two branches whose features are joined."""

    def __init__(self, inputs: int, outputs: int, detached: bool = False) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(inputs, 24), nn.ReLU())
        self.right = nn.Sequential(nn.Linear(inputs, 24), nn.Tanh())
        self.head, self.detached = nn.Linear(48, outputs), detached

    def forward(self, x: Tensor) -> Tensor:
        right = self.right(x)
        return self.head(torch.cat([self.left(x), right.detach() if self.detached else right], 1))


def autoencoder(size: int, code: int, *behind: nn.Module) -> nn.Module:
    layers = (
        nn.Flatten(),
        nn.Linear(size, 64),
        nn.ReLU(),
        nn.Linear(64, code),
        nn.ReLU(),
        nn.Linear(code, 64),
        nn.ReLU(),
    )
    return nn.Sequential(*layers, nn.Linear(64, size), *behind)


class UNet(nn.Module):
    """One step down and up with a skip."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)
        )
        self.up = nn.Sequential(nn.Conv2d(24, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.up(torch.cat([x, self.deep(x)], 1))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def residual(channels: int, classes: int, blocks: int = 3, width: int = 12) -> nn.Module:
    body = [_Block(width) for _ in range(blocks)]
    first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    return nn.Sequential(first, *body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
