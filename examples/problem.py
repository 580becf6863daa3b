"""What the examples train: a small net on made data, whose label is the largest of three inputs among twenty."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

__all__ = ["batches", "inputs", "net"]


def inputs() -> tuple[Tensor, Tensor]:
    """256 samples of 20 numbers, and their classes."""
    x = torch.randn(256, 20, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


def batches(size: int = 32) -> DataLoader[tuple[Tensor, ...]]:
    """The samples in batches, always in the same order."""
    return DataLoader(TensorDataset(*inputs()), size)


def net() -> nn.Sequential:
    """A classifier with the same initial weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 3))
