"""A linear regression with true zeros."""

import torch
from torch import Tensor


def squared(output: Tensor, target: Tensor) -> Tensor:
    return 0.5 * (output - target).square().mean()


def regression(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    truth = torch.tensor([2.0, -1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    return x, (x @ truth + 0.1 * torch.randn(60, generator=generator, dtype=torch.float64))[:, None]
