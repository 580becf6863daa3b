"""Held-out samples, and how well a net does on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from regtorch.lightning.tasks import Task

__all__ = ["Held", "HeldOut", "best_constant", "evaluate", "held_out", "outputs_of"]

_TOGETHER = 64  # samples in a forward pass, whatever the training's batches are
_GROUPS = 20  # of held-out samples, each left out once


@dataclass(frozen=True)
class HeldOut:
    """Validation samples: inputs in batches, and all their targets."""

    inputs: Sequence[Tensor]
    targets: Tensor


@dataclass(frozen=True)
class Held:
    """Loss and score on held-out samples, and both without each of some groups of them.

    How the latter spread tells what another choice of samples would have changed.
    """

    loss: float
    score: float
    losses: Sequence[float]
    scores: Sequence[float]


def held_out(data: LightningDataModule, most: int) -> HeldOut:
    """At most so many validation samples, drawn evenly, always the same."""
    targets = [target for _, target in data.val_dataloader()]
    order = torch.randperm(sum(len(target) for target in targets), generator=torch.Generator().manual_seed(0))
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:most]] = True
    parts = kept.split([len(target) for target in targets])
    inputs = [x[part] for (x, _), part in zip(data.val_dataloader(), parts, strict=True) if part.any()]
    return HeldOut(torch.cat(inputs).split(_TOGETHER), torch.cat(targets)[kept])


@torch.no_grad()
def outputs_of(net: nn.Module, samples: HeldOut) -> Tensor:
    """A net's outputs in evaluation mode, in which it stays no longer than that."""
    device = next(net.parameters()).device
    net.eval()
    outputs = torch.cat([net(x.to(device)).float().cpu() for x in samples.inputs])
    net.train()
    return outputs


def evaluate(task: Task, outputs: Tensor, y: Tensor) -> Held:
    """Loss and score of outputs."""

    def look(which: Tensor | slice) -> tuple[float, float]:
        loss = float(task.loss(outputs[which], y[which]))
        metric = task.metric()
        metric.update(task.predict(outputs[which]), y[which])
        return (loss, float(metric.compute())) if math.isfinite(loss) else (math.inf, math.nan)

    whole = look(slice(None))
    group = torch.arange(len(y)) % min(_GROUPS, len(y))
    without = [look(group != n) for n in range(int(group.max()) + 1)] if len(y) > 2 else [whole]
    return Held(*whole, [loss for loss, _ in without], [score for _, score in without])


def best_constant(task: Task, width: int, y: Tensor) -> Held:
    """Loss and score of the best output of so many numbers that is the same for all samples."""
    output = torch.zeros(1, width, requires_grad=True)
    search = torch.optim.LBFGS([output], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = task.loss(output.expand(len(y), -1), y)
        value.backward()
        return value

    search.step(loss)
    return evaluate(task, output.detach().expand(len(y), -1), y)
