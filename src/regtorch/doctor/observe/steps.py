"""A few watched training steps: what the task, the penalties and the optimizer's decay do to every weight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from statistics import fmean
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Unfit
from regtorch.doctor.observe.forces import Forces, norm_of, of_coupled_decay, of_decoupled_decay, of_penalties
from regtorch.doctor.observe.optimizer_copy import is_torchs
from regtorch.doctor.observe.pairs import one_line
from regtorch.doctor.observe.restored import seed
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.observe.uses import Look

__all__ = ["Step", "WatchedSteps", "after_steps", "equal_rows", "last_loss_without_steps", "watch_steps"]

_T = TypeVar("_T")
_FALLS = 0.02  # of the first loss: less is not learning
_NOTHING = 1e-6  # root mean square of weights that count as 0


@dataclass(frozen=True)
class Step:
    """One step. `updates` and `decays` are measured in some of the steps only, as they are costly."""

    task_loss: float  # before the step
    penalty: float  # the penalties' sum before it
    forces: Mapping[str, Forces]  # on each penalised weight; empty without penalties
    updates: Mapping[str, float] = field(default_factory=dict)  # ‖update‖/‖weight‖ of each matrix with a gradient
    penalties: Mapping[str, float] = field(default_factory=dict)  # by weight
    decays: Mapping[str, Forces] = field(default_factory=dict)  # on each weight that the optimizer decays


@dataclass(frozen=True)
class WatchedSteps:
    """Some steps, and the net after them."""

    steps: Sequence[Step]  # fewer than requested if the loss stopped being finite
    norms: Mapping[str, float]  # of each weight
    diverged: bool  # whether the loss stopped being finite
    looks: Sequence[Look] = ()  # before, after the first and after the last step, while the loss was finite
    symmetric: Collection[str] = ()  # weights whose units are all equal
    reached: Mapping[str, bool] = field(default_factory=dict)  # weights with a gradient: was it ever nonzero?
    from_zero: Collection[str] = ()  # weights that were almost 0 before the first step

    def mean_task_loss(self, part: slice) -> float:
        return fmean(losses) if (losses := [step.task_loss for step in self.steps[part]]) else nan

    @property
    def falls(self) -> bool:
        start = self.mean_task_loss(slice(1))
        return start - self.last_task_loss > _FALLS * abs(start)

    @property
    def last_task_loss(self) -> float:
        """The mean task loss of the last quarter of the steps."""
        return self.mean_task_loss(_last_quarter(len(self.steps)))


def watch_steps(
    subject: Subject,
    steps: int,
    *,
    penalties: float = 1.0,
    decay: float = 1.0,
    factor: float = 1.0,
    look: Callable[[Subject], Any] | None = None,
) -> WatchedSteps:
    """Train for `steps` steps, taking the batches in turn, and restore everything.

    Args:
        subject: the setup to train.
        steps: the number of steps.
        penalties: multiplies the penalties; 0 removes them and changes nothing else, random numbers included.
        decay: multiplies the optimizer's own weight decay.
        factor: multiplies the learning rate.
        look: called before, after the first and after the last step; must leave the net unchanged.

    Raises:
        Unfit: model, loss or optimizer raise an error, or the loss has no gradient.
    """
    looks: list[Any] = []
    reach = _Reach(subject.trained)
    with subject.restored(), reach:
        seed(0)
        subject.model.train()
        optimizer = _copied(subject, factor, decay)
        from_zero = [name for name, p in subject.trained.items() if norm_of(p) <= _NOTHING * p.numel() ** 0.5]
        done: list[Step] = []
        for number in range(steps):
            if look is not None and number < 2:
                looks.append(look(subject))
            step = _step(subject, optimizer, number, penalties)
            reach.drop_reached()
            if step is None:
                break
            done.append(step)
        if look is not None and len(done) == steps:
            looks.append(look(subject))
        norms = {name: norm_of(p) for name, p in {**subject.penalised, **subject.trained}.items()}
        symmetric = [name for name, p in subject.trained.items() if equal_rows(p)]
    return WatchedSteps(done, norms, len(done) < steps, looks, symmetric, reach.found, from_zero)


def after_steps(subject: Subject, steps: int, measure: Callable[[Subject], _T]) -> _T | None:
    """What `measure` finds after the watched steps; None if the loss stops being finite before."""
    found: list[_T] = []
    looks = 0

    def at_the_end(subject: Subject) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            found.append(measure(subject))

    watch_steps(subject, steps, look=at_the_end)
    return found[0] if found else None


@torch.no_grad()
def last_loss_without_steps(subject: Subject, steps: int) -> float:
    """The `last_task_loss` of as many steps at a rate of 0."""
    with subject.restored():
        seed(0)
        subject.model.train()
        losses = [float(subject.task_loss(subject.output(n), subject.batch(n)[1])) for n in range(steps)]
    return fmean(losses[_last_quarter(steps)])


def _last_quarter(steps: int) -> slice:
    return slice(-max(1, steps // 4), None)


class _Reach:
    """Records by hooks which weights backward passes reach: some training loops clear gradients at once."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.weights = weights
        self.found: dict[str, bool] = {}
        self._handles: dict[str, RemovableHandle] = {}

    def __enter__(self) -> None:
        self._handles = {name: p.register_hook(self._note(name)) for name, p in self.weights.items()}

    def __exit__(self, *_: object) -> None:
        for handle in self._handles.values():
            handle.remove()

    def _note(self, name: str) -> Callable[[Tensor | None], None]:
        def note(grad: Tensor | None) -> None:
            if grad is not None and not self.found.get(name):
                self.found[name] = norm_of(grad) != 0

        return note

    def drop_reached(self) -> None:
        """Remove the hooks of weights that have had a nonzero gradient, as they cost time."""
        for name in [name for name in self._handles if self.found.get(name)]:
            self._handles.pop(name).remove()


@torch.no_grad()
def equal_rows(t: Tensor) -> bool:
    """Whether a weight has several units, all equal up to rounding."""
    return (
        t.ndim > 1 and t.shape[0] > 1 and t.numel() > 0 and bool((t - t[:1]).abs().amax() <= 1e-5 * t[0].abs().amax())
    )


def _copied(subject: Subject, factor: float, decay: float) -> Optimizer:
    try:
        return subject.optimizer_like(factor, decay)
    except Exception as error:
        raise _fails(subject.optimizer, "cannot be copied", "info", error) from error


def _step(subject: Subject, optimizer: Optimizer, number: int, penalties: float) -> Step | None:
    subject.zero_grad()
    loss = subject.task_loss(subject.output(number), subject.batch(number)[1])
    if not isfinite(loss.item()):
        return None
    total = loss
    for weight, activity in subject.activities if penalties else ():
        total = total + penalties * weight * activity()
    _backward(total)
    values = subject.penalty_values(penalties) if penalties else {}
    forces = of_penalties(subject, penalties) if penalties else {}
    some = number < 3 or number % 4 == 3
    decays = of_coupled_decay(subject, optimizer) if some else {}
    watched = {
        name: (p, p.detach().clone())
        for name, p in {**subject.penalised, **subject.trained}.items()
        if name in forces
        or (some and (name in subject.decays or p.ndim > 1) and p.grad is not None and norm_of(p.grad))
    }
    for weight, term in subject.terms if penalties else ():
        term.add_grad_to(penalties * weight)
    _advance(optimizer)
    decays |= of_decoupled_decay(subject, optimizer, watched) if some else {}
    for constraint in subject.constraints:
        constraint.project_()
    updates = {
        name: norm_of(p.detach() - before) / size
        for name, (p, before) in watched.items()
        if p.ndim > 1 and (size := forces[name].norm if name in forces else norm_of(before))
    }
    decays = {name: found for name, found in decays.items() if name in watched}
    return Step(loss.item(), sum(values.values()), forces, updates, values, decays)


def _backward(total: Tensor) -> None:
    try:
        total.backward()
    except Exception as error:
        raise Unfit(
            "no_gradient",
            "loss",
            why=f"The loss is not connected to the weights; backward() fails with {one_line(error)}.",
            change="Look for detach(), .item(), numpy, argmax or torch.no_grad() between the weights and the loss.",
        ) from error


def _advance(optimizer: Optimizer) -> None:
    try:
        optimizer.step()
    except Exception as error:
        severity = "severe" if is_torchs(optimizer) else "info"
        raise _fails(optimizer, "raises an error in its step", severity, error) from error


def _fails(optimizer: Optimizer | None, how: str, severity: Severity, error: Exception) -> Unfit:
    return Unfit(
        "optimizer_fails",
        "optimizer",
        severity,
        why=f"{'Adam' if optimizer is None else type(optimizer).__name__} {how}: {one_line(error)}.",
        change="Change the optimizer or its settings as the error message suggests.",
    )
