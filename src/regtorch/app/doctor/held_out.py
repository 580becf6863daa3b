"""Evaluate a net on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from regtorch.lightning.tasks import Task

__all__ = ["Held", "HeldOut", "best_constant", "evaluate", "held_out", "outputs_of"]

_TOGETHER = 64  # samples per forward pass
_GROUPS = 20  # jackknife groups of held-out samples


@dataclass(frozen=True)
class HeldOut:
    """Validation samples: inputs in batches, and all targets."""

    inputs: Sequence[Tensor]
    targets: Tensor


@dataclass(frozen=True)
class Held:
    """Loss and score on held-out samples, and both with each jackknife group left out, to estimate their noise."""

    loss: float
    score: float
    losses: Sequence[float]
    scores: Sequence[float]


def held_out(data: LightningDataModule, most: int) -> HeldOut:
    """At most `most` validation samples, a fixed uniform draw."""
    targets = [target for _, target in data.val_dataloader()]
    order = torch.randperm(sum(len(target) for target in targets), generator=torch.Generator().manual_seed(0))
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:most]] = True
    parts = kept.split([len(target) for target in targets])
    inputs = [x[part] for (x, _), part in zip(data.val_dataloader(), parts, strict=True) if part.any()]
    return HeldOut(torch.cat(inputs).split(_TOGETHER), torch.cat(targets)[kept])


@torch.no_grad()
def outputs_of(net: nn.Module, samples: HeldOut) -> Tensor:
    """A net's outputs in eval mode; leaves the net in training mode."""
    device = next(net.parameters()).device
    net.eval()
    outputs = torch.cat([net(x.to(device)).float().cpu() for x in samples.inputs])
    net.train()
    return outputs


def evaluate(task: Task, outputs: Tensor, y: Tensor) -> Held:
    """Loss and score of outputs, with their jackknife."""

    def measure(which: Tensor | slice) -> tuple[float, float]:
        loss = float(task.loss(outputs[which], y[which]))
        metric = task.metric()
        metric.update(task.predict(outputs[which]), y[which])
        return (loss, float(metric.compute())) if math.isfinite(loss) else (math.inf, math.nan)

    full = measure(slice(None))
    group = torch.arange(len(y)) % min(_GROUPS, len(y))
    without = [measure(group != n) for n in range(int(group.max()) + 1)] if len(y) > 2 else [full]
    return Held(*full, [loss for loss, _ in without], [score for _, score in without])


def best_constant(task: Task, width: int, y: Tensor) -> Held:
    """Loss and score of the best constant output of this width."""
    output = torch.zeros(1, width, requires_grad=True)
    search = torch.optim.LBFGS([output], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = task.loss(output.expand(len(y), -1), y)
        value.backward()
        return value

    search.step(loss)
    return evaluate(task, output.detach().expand(len(y), -1), y)
