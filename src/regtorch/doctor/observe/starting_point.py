"""Where a net starts: with outputs far too large for the task, or already trained."""

from __future__ import annotations

from math import nan
from statistics import fmean

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import Unfit
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import equal_rows

__all__ = [
    "WIDE",
    "gain",
    "has_learnt",
    "has_stepped",
    "loss_of_zeros",
    "paired_and_unrelated",
    "starts_large",
    "tables_of",
    "weights_are_to_blame",
]

WIDE = 8.0
"""Gain of weights that are far larger than an initialisation's."""
_LEARNT = 0.5  # of the loss with other samples' targets
_TOO_LARGE = 4.0  # times the loss of zero outputs; outputs and targets of unit variance cost twice that


def starts_large(obs: Observed) -> bool:
    """Whether the first loss is far above that of zero outputs, so that shrinking weights helps the task."""
    steps = obs.with_rules.steps
    return bool(steps) and steps[0].task_loss > _TOO_LARGE * loss_of_zeros(obs) > 0


def weights_are_to_blame(obs: Observed) -> bool:
    """Whether units start as copies, or the first loss is large because of the weights: no lower rate then helps."""
    kernels = [p for p in obs.subject.trained.values() if p.ndim > 1]
    return any(gain(p) and equal_rows(p) for p in kernels) or (
        starts_large(obs) and any(gain(p) > WIDE for p in kernels)
    )


def tables_of(model: nn.Module) -> set[int]:
    """The ids of the weights of which a sample takes some rows, such as embeddings."""
    return {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}


def gain(weight: Tensor) -> float:
    """The factor by which a weight changes the size of a random signal: √fan_in times its root mean square."""
    if not weight.numel():
        return 0.0
    return float(weight.detach().double().square().mean().sqrt()) * weight[0].numel() ** 0.5


def loss_of_zeros(obs: Observed) -> float:
    """The first batch's loss with zero outputs; NaN if the loss rejects them."""
    output, (_, y) = obs.outputs[0], obs.subject.batches[0]
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return nan
    try:
        with obs.subject.restored(), torch.no_grad():
            return float(obs.subject.task_loss(torch.zeros_like(output), y))
    except Unfit:
        return nan


def has_learnt(obs: Observed, part: float = _LEARNT) -> bool:
    """Whether the net fits its targets: their loss is less than `part` of the loss with other samples' targets."""
    paired, unrelated = paired_and_unrelated(obs)
    return 0 <= paired < part * unrelated


def has_stepped(obs: Observed) -> bool:
    """Whether the optimizer has kept a state of steps, so that the weights are not those of the start."""
    optimizer = obs.subject.optimizer
    return optimizer is not None and any(map(optimizer.state.get, obs.subject.trained.values()))


def paired_and_unrelated(obs: Observed) -> tuple[float, float]:
    """The mean loss with the right targets, and with those of other samples."""
    found: list[tuple[float, float]] = []
    with torch.no_grad():
        for output, (_, y) in zip(obs.outputs, obs.subject.batches, strict=False):
            if isinstance(output, Tensor) and output.ndim and len(output) > 1:
                other = output.roll(1 + len(output) // 2, 0)
                try:
                    found.append((float(obs.subject.task_loss(output, y)), float(obs.subject.task_loss(other, y))))
                except Unfit:
                    continue
    return (fmean(a for a, _ in found), fmean(b for _, b in found)) if found else (nan, nan)
