"""Small trainings that are watched: healthy ones, and such as turn bad at a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regtorch as rt
from doctor_cases import CLASSES, WIDTH, samples
from regtorch.doctor.along import Watching

__all__ = ["FAULT", "LSTM", "Transformer", "data", "mlp", "train", "watched"]

FAULT = 120
"""The step at which a training turns bad."""
BATCH = 40


class Transformer(nn.Module):
    """Two blocks over a sample's features as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.place = nn.Parameter(torch.randn(WIDTH, 16))
        block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x[..., None]) + self.place).mean(1))


class LSTM(nn.Module):
    """Over a sample's features as steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 24, batch_first=True)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x[..., None])[0][:, -1])


def mlp(activation: Callable[[], nn.Module] = nn.ReLU, *, norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide in (WIDTH, 32):
        layers += [nn.Linear(wide, 32), *([nn.BatchNorm1d(32)] if norm else []), activation()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(32, CLASSES))


def data() -> tuple[Tensor, Tensor]:
    """All samples; a share of the labels is wrong, as in life."""
    x, y = samples()
    wrong = torch.rand(len(y), generator=torch.Generator().manual_seed(1)) < 0.1
    return x, torch.where(wrong, (y + 1) % CLASSES, y)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    each: Callable[[int], object] = lambda step: None,
    forward: Callable[[Tensor], Tensor] | None = None,
    before_step: Callable[[], object] = lambda: None,
) -> None:
    """Train on shuffled batches; `each` is called before every step with its number, from 1."""
    x, y = data()
    order = torch.Generator().manual_seed(2)
    for step in range(1, steps + 1):
        each(step)
        chosen = torch.randperm(len(x), generator=order)[:BATCH]
        optimizer.zero_grad()
        F.cross_entropy((forward or model)(x[chosen]), y[chosen]).backward()
        before_step()
        optimizer.step()


def watched(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2 * FAULT, every: int = 5, **options: Any
) -> Watching:
    """The watch on a training."""
    found: list[rt.Finding] = []
    with rt.watch(model, optimizer, every=every, on_finding=found.append) as watching:
        train(model, optimizer, steps, **options)
    assert {f.cause for f in found} == {f.cause for f in watching.findings if f.cause != "measurement_failed"}
    return watching
