"""A few training steps, watched: what the task and the penalty each do to every penalised weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean

import torch
from torch import Tensor, nn

from regtorch.doctor.patient import Patient
from regtorch.doctor.restored import restored

__all__ = ["Forces", "Step", "Trial", "trial"]


@dataclass(frozen=True)
class Forces:
    """What acts on one weight in one step.

    Attributes:
        norm: the weight's norm before the step.
        task: the norm of the task's gradient.
        penalty: the norm of the penalties' gradient.
        cosine: between the two gradients; NaN where one is 0.
        ruled: the share of coordinates in which the penalty's gradient is the larger one. Optimizers that divide by
            the gradient's size, as Adam does, move such a coordinate where the penalty points.
        moved: the norm of the optimizer's step.
    """

    norm: float
    task: float
    penalty: float
    cosine: float
    ruled: float
    moved: float


@dataclass(frozen=True)
class Step:
    """One step: the task's loss, the penalties' sum, and the forces on each penalised weight."""

    task_loss: float
    penalty: float
    forces: Mapping[str, Forces]


@dataclass(frozen=True)
class Trial:
    """Some steps, and the weights' norms after the last.

    Attributes:
        steps: the steps made; fewer than asked for where the loss stopped being finite.
        norms: each penalised weight's norm after them.
        diverged: whether the loss stopped being finite.
    """

    steps: Sequence[Step]
    norms: Mapping[str, float]
    diverged: bool

    def mean_task_loss(self, part: slice = slice(None)) -> float:
        """The mean task loss of some of the steps."""
        return fmean(losses) if (losses := [step.task_loss for step in self.steps[part]]) else nan


def trial(patient: Patient, steps: int, *, penalties: bool = True) -> Trial:
    """Train for `steps` steps and put everything back.

    Args:
        patient: what is examined.
        steps: how many; the batches are taken in turn.
        penalties: False leaves the penalties out, and changes nothing else, random numbers included.
    """
    with restored(patient.model):
        torch.manual_seed(0)
        patient.model.train()
        optimizer = patient.optimizer_like()
        made: list[Step] = []
        for number in range(steps):
            step = _step(patient, optimizer, number, penalties)
            if step is None:
                break
            made.append(step)
        norms = {name: _norm(p) for name, p in patient.penalised.items()}
    return Trial(made, norms, diverged=len(made) < steps)


def _step(patient: Patient, optimizer: torch.optim.Optimizer, number: int, penalties: bool) -> Step | None:
    x, y = patient.batch(number)
    patient.model.zero_grad()
    loss = patient.task_loss(patient.model(x), y)
    if not isfinite(loss.item()):
        return None
    total = loss
    for factor, activity in patient.activities if penalties else ():
        total = total + factor * activity()
    total.backward()
    task = {name: None if p.grad is None else p.grad.detach().clone() for name, p in patient.penalised.items()}
    value = _penalty(patient)
    before = {name: p.detach().clone() for name, p in patient.penalised.items()}
    pulls = _pulls(patient)
    if penalties:
        for factor, term in patient.terms:
            term.add_grad_to(factor)
    optimizer.step()
    for constraint in patient.constraints:
        constraint.project_()
    forces = {name: _forces(before[name], task[name], pulls[name], p.detach()) for name, p in patient.penalised.items()}
    return Step(loss.item(), value, forces)


@torch.no_grad()
def _penalty(patient: Patient) -> float:
    return sum(float(v) for factor, term in patient.terms for v in term.values(factor).values())


@torch.no_grad()
def _pulls(patient: Patient) -> dict[str, Tensor]:
    """The penalties' gradient of each weight, by itself."""
    pulls = {name: torch.zeros_like(p) for name, p in patient.penalised.items()}
    for factor, term in patient.terms:
        for weight, p in term.weights():
            if weight.name in pulls and term.rule.active:
                pulls[weight.name] += factor * term.grad(weight, p)
    return pulls


def _forces(before: Tensor, task: Tensor | None, pull: Tensor, after: Tensor) -> Forces:
    task = torch.zeros_like(pull) if task is None else task
    sizes = _norm(task), _norm(pull)
    product = float((task.double() * pull.double()).sum())
    return Forces(
        norm=_norm(before),
        task=sizes[0],
        penalty=sizes[1],
        cosine=product / (sizes[0] * sizes[1]) if all(sizes) else nan,
        ruled=float((pull.abs() > task.abs()).double().mean()) if pull.numel() else 0.0,
        moved=_norm(after - before),
    )


def _norm(t: Tensor | nn.Parameter) -> float:
    return float(torch.linalg.vector_norm(t.detach(), dtype=torch.promote_types(t.dtype, torch.float32)))
