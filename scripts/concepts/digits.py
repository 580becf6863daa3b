"""A small task of real digits: few samples and noisy labels to train on, the rest to test on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["accuracy", "fit", "mlp", "split"]

Data = tuple[Tensor, Tensor]


def split(samples: int, noise: float, seed: int) -> tuple[Data, Data]:
    """Training samples, a share `noise` of which has a random label, and all others with their own."""
    from sklearn.datasets import load_digits

    random = torch.Generator().manual_seed(seed)
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(pixels).float() / 16, torch.from_numpy(labels)
    order = torch.randperm(len(x), generator=random)
    train, test = order[:samples], order[samples:]
    wrong = torch.rand(samples, generator=random) < noise
    noisy = torch.where(wrong, torch.randint(10, (samples,), generator=random), y[train])
    return (x[train], noisy), (x[test], y[test])


def mlp(hidden: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def fit(
    net: nn.Module,
    data: Data,
    optimizer: torch.optim.Optimizer,
    steps: int,
    each: Callable[[int], None] = lambda n: None,
) -> None:
    """Train on all of the data at once."""
    x, y = data
    for step in range(steps):
        each(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


@torch.no_grad()
def accuracy(net: nn.Module, data: Data) -> float:
    x, y = data
    return (net(x).argmax(1) == y).float().mean().item()
