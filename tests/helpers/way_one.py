"""Way 1 in a plain loop, the penalties in the loss, which trainers are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

import regtorch as rt

__all__ = ["apart", "by_way_1", "grouped"]

Batch = tuple[Tensor, ...]


def grouped(batches: Iterable[Any], size: int = 1) -> Iterator[list[Any]]:
    """The batches of each step."""
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []


def by_way_1(
    model: nn.Module,
    optimizer: Optimizer,
    rules: Sequence[rt.Penalty | rt.Constraint],
    steps: Iterable[Sequence[Any]],
    *,
    loss: Callable[[nn.Module, Any], Tensor] = lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
    clip: float | None = None,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    scaler: torch.amp.GradScaler | None = None,
    after_step: Callable[[], Any] = lambda: None,
) -> nn.Module:
    """Train and return the model.

    Args:
        model: what is trained.
        optimizer: steps.
        rules: penalties, whose formulas are in the loss, and constraints, which are projected by hand.
        steps: the batches of each step, over whose losses the mean is taken.
        loss: the task's loss of a batch.
        clip: the largest norm of the task's gradient; the penalties' comes after it, as with attached rules.
        around: a context for the task's loss, such as autocast.
        scaler: scales the loss.
        after_step: what else happens there.
    """
    penalties = [rule.on(model) for rule in rules if isinstance(rule, rt.Penalty)]
    constraints = [rule.on(model) for rule in rules if isinstance(rule, rt.Constraint)]
    scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
    for batches in steps:
        optimizer.zero_grad()
        for batch in batches:
            with around():
                task = loss(model, batch)
            whole = task if clip is not None else task + sum(reg() for reg in penalties)
            scaler.scale(whole / len(batches)).backward()
        if clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            torch.stack([reg() for reg in penalties]).sum().backward()
        scaler.step(optimizer)
        scaler.update()
        after_step()
        for constraint in constraints:
            constraint.project_()
    return model


def apart(found: nn.Module | Sequence[Tensor], reference: nn.Module | Sequence[Tensor]) -> float:
    """The largest difference of any weight over that weight's largest element; infinite where one is not finite."""
    pairs = zip(
        *(weights.parameters() if isinstance(weights, nn.Module) else weights for weights in (found, reference)),
        strict=True,
    )
    worst = [((p - q).abs().max() / q.abs().max().clamp(min=1e-3)).item() for p, q in pairs]
    return max(worst) if all(value == value for value in worst) else float("inf")
