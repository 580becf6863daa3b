"""What acts on one weight in one step: the task, and what pulls it elsewhere, a penalty or the optimizer's decay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, nan

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.doctor.watch.optimizer_copy import Decay, decays_of, number
from regtorch.doctor.watch.subject import Subject

__all__ = ["Forces", "norm_of", "of_coupled_decay", "of_decoupled_decay", "of_penalties"]

_COMPARED = 2**16  # coordinates of a weight, about, that are compared one by one


@dataclass(frozen=True)
class Forces:
    """What acts on one weight in one step.

    Attributes:
        norm: the weight's norm before the step.
        task: the norm of the task's gradient; beside a decoupled decay, of the step that is made without the decay.
        penalty: the norm of the penalties' gradient, or of the decay's; of what a decoupled decay takes in the step.
        cosine: between the two; NaN where one is 0.
        ruled: the share of coordinates in which the penalty's gradient is the larger one. Optimizers that divide by
            the gradient's size, as Adam does, move such a coordinate where the penalty points.
        moved: the norm of the optimizer's step.
    """

    norm: float
    task: float
    penalty: float
    cosine: float
    ruled: float
    moved: float = 0.0


@torch.no_grad()
def of_penalties(subject: Subject, penalties: float) -> dict[str, Forces]:
    """The forces on each penalised weight, while gradients are the task's alone."""
    pulls: dict[str, Tensor] = {}
    for factor, term in subject.terms:
        for weight, p in term.weights():
            if weight.name in subject.penalised and term.rule.active:
                pull = term.grad(weight, p).mul_(penalties * factor)
                pulls[weight.name] = pulls[weight.name].add_(pull) if weight.name in pulls else pull
    return {name: _compared(p, p.grad, pulls[name]) for name, p in subject.penalised.items() if name in pulls}


@torch.no_grad()
def of_coupled_decay(subject: Subject, optimizer: Optimizer) -> dict[str, Forces]:
    """The forces on each weight whose decay the optimizer adds to the gradient, while that is the task's alone."""
    found = ((name, decay, p) for name, decay, p in _decayed(subject, optimizer) if not decay.decoupled)
    return {name: _compared(p, p.grad, decay.value * p.detach()) for name, decay, p in found}


@torch.no_grad()
def of_decoupled_decay(
    subject: Subject, optimizer: Optimizer, before: Mapping[str, tuple[nn.Parameter, Tensor]]
) -> dict[str, Forces]:
    """The same where a step takes the decay beside the gradient's share of it.

    Args:
        subject: what is examined.
        optimizer: that has just made a step.
        before: each weight, and what it was before the step.
    """
    found: dict[str, Forces] = {}
    for name, decay, p in _decayed(subject, optimizer):
        if decay.decoupled and name in before:
            was = before[name][1]
            pull = number(optimizer.param_groups[decay.group].get("lr")) * decay.value * was
            found[name] = _compared(was, was - p.detach() - pull, pull)
    return found


def _decayed(subject: Subject, optimizer: Optimizer) -> Iterator[tuple[str, Decay, nn.Parameter]]:
    """Optimizers leave weights without a gradient alone."""
    for name, decay in decays_of(optimizer, subject.trained).items() if subject.decays else ():
        p = subject.trained[name]
        if p.grad is not None:
            yield name, decay, p


def _compared(weight: Tensor, task: Tensor | None, pull: Tensor) -> Forces:
    """The two forces on a weight; `task` is None where the task has none."""
    task = torch.zeros_like(pull) if task is None else task.to_dense() if task.is_sparse else task
    sizes = norm_of(task), norm_of(pull)
    task, pull = task.flatten(), pull.flatten()
    some = slice(None, None, pull.numel() // _COMPARED | 1)
    comparable = all(size and isfinite(size) for size in sizes)
    wide = torch.promote_types(pull.dtype, torch.float32)
    return Forces(
        norm=norm_of(weight),
        task=sizes[0],
        penalty=sizes[1],
        cosine=float(torch.dot(task.to(wide) / sizes[0], pull.to(wide) / sizes[1])) if comparable else nan,
        ruled=float((pull[some].abs() > task[some].abs()).double().mean()) if pull.numel() else 0.0,
    )


def norm_of(t: Tensor) -> float:
    """The Euclidean norm, summed in at least float32."""
    t = t.detach().coalesce().values() if t.is_sparse else t.detach()
    if t.is_complex():
        return float(torch.linalg.vector_norm(t))
    return float(torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)))
