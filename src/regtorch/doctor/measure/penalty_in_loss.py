"""A penalty on the weights that the loss itself adds, told from the task by detached outputs."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from regtorch.doctor.finding import Finding, Refused, Unfit, fmt
from regtorch.doctor.measure.pull import RATIO
from regtorch.doctor.observe.calls import hooked
from regtorch.doctor.observe.forces import norm_of
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.restored import seed

__all__ = ["find"]

_NOTHING = 1e-6  # of the penalty's gradient: what is left when a loss was computed from kept outputs, not detached ones


def find(obs: Observed) -> Iterator[Finding]:
    """`penalty_dominates` in the loss: the gradient that remains when the net's outputs are detached."""
    pull = _pull(obs)
    if pull is None:
        return
    size, task = hypot(*map(norm_of, pull.values())), _task(obs, pull)
    if task < _NOTHING * size or size < RATIO[1] * task:
        return
    ratio = size / task
    yield Finding(
        "penalty_dominates",
        "loss",
        "severe" if ratio >= RATIO[0] else "warning",
        {"ratio": ratio, "weights": len(pull)},
        why=f"The loss adds a penalty on {len(pull)} of the weights to the task, whose gradient is {fmt(ratio)} times "
        "the task's: the weights shrink faster than they learn.",
        change="Weaken the penalty in the loss, at first to a hundredth; as one of `rules` it is measured in full.",
        blame=ratio,
    )


def _pull(obs: Observed) -> dict[str, Tensor] | None:
    """The gradient of the loss with detached outputs; None if there is none, or if the loss calls the net itself."""
    subject, called = obs.subject, []
    with subject.restored():
        subject.zero_grad()
        seed(0)
        subject.model.train()
        output = tree_map(_detached, subject.output(0))
        with hooked(subject.model, None, lambda *_: called.append(True)):
            try:
                loss = subject.task_loss(output, subject.batch(0)[1])
            except (Unfit, Refused):
                return None
        if called or not loss.requires_grad:
            return None
        weights = subject.trained
        slopes = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    found = {name: g for name, g in zip(weights, slopes, strict=True) if g is not None and bool(g.any())}
    # A penalty's gradient points away from 0.
    outwards = sum(float((g * weights[name].detach()).sum()) for name, g in found.items())
    return found if outwards > 0 else None


def _detached(part: Any) -> Any:
    return part.detach() if isinstance(part, Tensor) else part


def _task(obs: Observed, pull: dict[str, Tensor]) -> float:
    """The norm of the whole gradient without the penalty's, over the same weights."""
    with obs.subject.restored():
        obs.subject.zero_grad()
        obs.subject.backward(0)
        weights = obs.subject.trained
        return hypot(
            *(norm_of(p.grad.to_dense() - pull[n]) for n, p in weights.items() if n in pull and p.grad is not None)
        )
