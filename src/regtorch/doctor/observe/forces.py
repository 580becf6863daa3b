"""The forces on one weight in one step: the task's gradient against a penalty or the optimizer's decay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import hypot, isfinite, nan

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.penalty import BoundPenalty
from regtorch.doctor.observe.optimizer_copy import Decay, decays_of, number
from regtorch.doctor.observe.subject import Subject

__all__ = ["Forces", "norm_of", "of_coupled_decay", "of_decoupled_decay", "of_penalties", "of_terms", "totals"]


@dataclass(frozen=True)
class Forces:
    """Norms of the two forces on one weight; of a decoupled decay, its part of the step and the rest of the step."""

    norm: float  # of the weight before the step
    task: float
    penalty: float
    cosine: float  # between the two; NaN if one is 0


def totals(forces: Iterable[Forces]) -> tuple[float, float]:
    """The norms of penalty and task over all weights together."""
    found = list(forces)
    return hypot(*(one.penalty for one in found)), hypot(*(one.task for one in found))


def of_penalties(subject: Subject, penalties: float) -> dict[str, Forces]:
    """The forces on each penalised weight, while `grad` holds the task's gradient alone."""
    return of_terms([(penalties * factor, term) for factor, term in subject.terms], subject.penalised)


@torch.no_grad()
def of_terms(terms: Iterable[tuple[float, BoundPenalty]], weights: Mapping[str, nn.Parameter]) -> dict[str, Forces]:
    """The forces of penalties, each with its scale, on those of `weights` that they act on."""
    pulls: dict[int, Tensor] = {}
    known = {id(p) for p in weights.values()}
    for factor, term in terms:
        for weight, p in term.weights():
            if id(p) in known and term.rule.active:
                pull = term.grad(weight, p).mul_(factor)
                pulls[id(p)] = pulls[id(p)].add_(pull) if id(p) in pulls else pull
    return {name: _compared(p, p.grad, pulls[id(p)]) for name, p in weights.items() if id(p) in pulls}


@torch.no_grad()
def of_coupled_decay(subject: Subject, optimizer: Optimizer) -> dict[str, Forces]:
    """The forces on each weight whose decay the optimizer adds to the gradient."""
    found = ((name, decay, p) for name, decay, p in _decayed(subject, optimizer) if not decay.decoupled)
    return {name: _compared(p, p.grad, decay.value * p.detach()) for name, decay, p in found}


@torch.no_grad()
def of_decoupled_decay(
    subject: Subject, optimizer: Optimizer, before: Mapping[str, tuple[nn.Parameter, Tensor]]
) -> dict[str, Forces]:
    """The forces on weights with decoupled decay, after a step; `before` maps each to its parameter and old value."""
    found: dict[str, Forces] = {}
    for name, decay, p in _decayed(subject, optimizer):
        if decay.decoupled and name in before:
            was = before[name][1]
            pull = number(optimizer.param_groups[decay.group].get("lr")) * decay.value * was
            found[name] = _compared(was, was - p.detach() - pull, pull)
    return found


def _decayed(subject: Subject, optimizer: Optimizer) -> Iterator[tuple[str, Decay, nn.Parameter]]:
    """Skips weights without a gradient, as optimizers do."""
    for name, decay in decays_of(optimizer, subject.trained).items() if subject.decays else ():
        p = subject.trained[name]
        if p.grad is not None:
            yield name, decay, p


def _compared(weight: Tensor, task: Tensor | None, pull: Tensor) -> Forces:
    task = torch.zeros_like(pull) if task is None else task.to_dense() if task.is_sparse else task
    sizes = norm_of(task), norm_of(pull)
    task, pull = task.flatten(), pull.flatten()
    comparable = all(size and isfinite(size) for size in sizes)
    wide = torch.promote_types(pull.dtype, torch.float32)
    return Forces(
        norm=norm_of(weight),
        task=sizes[0],
        penalty=sizes[1],
        cosine=float(torch.dot(task.to(wide) / sizes[0], pull.to(wide) / sizes[1])) if comparable else nan,
    )


def norm_of(t: Tensor) -> float:
    """The Euclidean norm, accumulated in at least float32."""
    t = t.detach().coalesce().values() if t.is_sparse else t.detach()
    if t.is_complex():
        return float(torch.linalg.vector_norm(t))
    return float(torch.linalg.vector_norm(t, dtype=torch.promote_types(t.dtype, torch.float32)))
