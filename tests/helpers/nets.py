"""Small nets of every kind that a rule may meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Tied(nn.Module):
    """An embedding whose weight is the head's, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(7, 4)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.wte(x)))).flatten(1)


class Everything(nn.Module):
    """Convolutions of both directions, norms, a recurrent layer, bare parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 6, 3, padding=1, groups=2)
        self.layer_norm = nn.LayerNorm((6, 4, 4))
        self.rnn = nn.LSTM(6, 5, batch_first=True)
        self.scale = nn.Parameter(torch.ones(5))
        self.relative_position_bias_table = nn.Parameter(torch.randn(5, 5))
        self.slope = nn.PReLU()
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer_norm(self.up(torch.tanh(self.norm(self.conv(x)))))
        h, _ = self.rnn(h.flatten(2).transpose(1, 2))
        h = h.mean(1) * self.scale
        return self.head(self.slope(h @ self.relative_position_bias_table + h))


def everything() -> tuple[nn.Module, Tensor, Tensor]:
    """A net with one of each, inputs and targets."""
    torch.manual_seed(0)
    return Everything().double(), torch.randn(8, 3, 4, 4, dtype=torch.float64), torch.randint(0, 2, (8,))


def channels_last() -> tuple[nn.Module, Tensor, Tensor]:
    """The same net with its convolutions' weights in the other memory format."""
    net, x, y = everything()
    return net.to(memory_format=torch.channels_last), x, y


def tied() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return Tied().double(), torch.randint(0, 7, (8, 1)), torch.randint(0, 7, (8,))


def dense() -> tuple[nn.Module, Tensor, Tensor]:
    """Smooth, and without a weight whose gradient stays zero."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return net, torch.randn(16, 6, dtype=torch.float64), torch.randint(0, 3, (16,))


def weight_normed() -> tuple[nn.Module, Tensor, Tensor]:
    net, x, y = dense()
    parametrizations.weight_norm(net[0])
    parametrizations.spectral_norm(net[2])
    return net, x, y


NETS = {
    "everything": everything,
    "channels last": channels_last,
    "tied": tied,
    "dense": dense,
    "weight_normed": weight_normed,
}


def step_often(optimizer: Any, loss: Callable[[], Tensor], steps: int, *, closure: bool) -> None:
    """Some steps of an optimizer, with or without giving it the closure."""
    for _ in range(steps):
        if closure:
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()
