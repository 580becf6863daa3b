"""The nets whose steps are timed: from 30 thousand to 100 million parameters, from 2 to 400 weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from regtorch.app.nets import CNN, MnistMLP

__all__ = ["FEW", "MANY", "NETS", "QUICK", "NetCase"]


@dataclass(frozen=True)
class NetCase:
    """A net and the batches it trains on.

    Attributes:
        make: makes it; its weights follow torch's seed.
        shape: of one sample.
        batch: samples a batch.
        classes: what the labels count.
        large: too large to train all variants of it beside each other.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    classes: int = 10
    large: bool = False

    def data(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """A random batch, always the same."""
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(self.batch, *self.shape, generator=generator, dtype=dtype)
        return x, torch.randint(0, self.classes, (self.batch,), generator=generator)


def dense(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with relus between them, initialised so that depth does not shrink the signal."""
    net = nn.Sequential()
    for fan_in, fan_out in pairwise(widths):
        layer = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        net.extend([layer, nn.ReLU()])
    return net[:-1]


def stack(layers: int, width: int) -> NetCase:
    """A case of equal square layers."""
    return NetCase(f"{layers} × dense {width}", lambda: dense(*[width] * (layers + 1)), (width,), 32, width)


# The same 6,553,600 numbers in kernels.
MANY, FEW = stack(400, 128), stack(4, 1280)
_WIDE = NetCase("wide", lambda: dense(2048, 10_000, 8_000, 10), (2048,), 32, large=True)
_MLP = NetCase("mnist_mlp", MnistMLP, (1, 28, 28), 128)

NETS: Sequence[NetCase] = (_MLP, NetCase("cnn", CNN, (3, 32, 32), 32), FEW, MANY, _WIDE)
QUICK: Sequence[NetCase] = (_MLP, stack(4, 40), stack(100, 8))
"""For a smoke run: 6,400 numbers in the stacks."""
