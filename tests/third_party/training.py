"""A short training with any optimizer, where a rule acts in one of several ways or in none."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

import regtorch as rt

__all__ = ["STEPS", "Batch", "Case", "apart", "net", "train"]

STEPS = 8
Weights = list[Tensor]


def net() -> tuple[nn.Sequential, list[tuple[Tensor, Tensor]]]:
    """A smooth net in float64, and a batch for every step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return model, [(torch.randn(16, 6, dtype=torch.float64), torch.randint(0, 3, (16,))) for _ in range(STEPS)]


@dataclass
class Batch:
    """The forward and backward of one batch, as a user writes them; calling it does all of it, as a closure does."""

    model: nn.Module
    x: Tensor
    y: Tensor
    zero: Callable[[], Any]
    in_loss: Any = None  # the bound penalty of way 1
    by_grad: Any = None  # that of way 2
    second_order: bool = False
    jitter: float = 0.0
    first: bool = False

    def loss(self, part: slice = slice(None)) -> Tensor:
        """The task's loss, and in way 1 the penalty."""
        task = F.cross_entropy(self.model(self.x[part]), self.y[part])
        return task if self.in_loss is None else task + self.in_loss()

    def add(self) -> None:
        """Way 2's own line, after backward."""
        if self.by_grad is not None:
            self.by_grad.add_grad_()
        if self.jitter:
            for p in self.model.parameters():
                if p.grad is not None:  # by a generator of its own: some optimizers draw numbers, too
                    noise = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel()))
                    p.grad.mul_(1 + self.jitter * noise)

    def __call__(self) -> Tensor:
        self.zero()
        loss = self.loss()
        loss.backward(create_graph=self.second_order)
        self.add()
        return loss if self.by_grad is None else loss + self.by_grad().detach()


def plainly(optimizer: Any, batch: Batch) -> None:
    """The loop of every tutorial."""
    batch()
    optimizer.step()


def itself(optimizer: Any) -> Any:
    """What is no wrapper steps itself."""
    return optimizer


def attach(bound: Any, optimizer: Any) -> list[Any]:
    """As a user does; a handle for each optimizer."""
    return [bound.attach(optimizer)]


@dataclass(frozen=True)
class Case:
    """An optimizer or wrapper, how a user trains with it, and what regtorch is to do.

    `expect`: "equal" to ways 1 and 2; "inside", where a wrapper changes gradients and the penalty acts as the inner
    optimizer's own weight_decay does; "way 2", where way 1 is another thing for the reason given; "rounding", where the
    last bit of a gradient moves the weights as far; "refused" by a sentence; "warned" of in a sentence.
    """

    name: str
    build: Callable[[nn.Module], Any]
    drive: Callable[[Any, Batch], Any] = plainly
    closure: Callable[[Any, Batch], Any] | None = lambda optimizer, batch: optimizer.step(batch)
    inner: Callable[[Any], Optimizer] = itself
    attach: Callable[[Any, Any], list[Any]] = attach
    finish: Callable[[Any, nn.Module], Any] = lambda optimizer, model: None
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    expect: str = "equal"
    why: str = ""
    second_order: bool = False
    has_way_2: bool = True  # not where the step is inside backward
    has_zero_grad: bool = True
    steps_once: bool = True  # for each backward
    warns: bool = False  # of a constraint, where no hook runs after the wrapper has moved the weights
    averages: bool = False  # a constraint holds for what is averaged, so that a set that is not convex may be left
    middle: Callable[[Any], Any] | None = None  # a wrapper between the outer and the inner one


def train(
    case: Case,
    way: str,
    rule: rt.Penalty | rt.Constraint | None = None,
    *,
    drive: Callable[[Any, Batch], Any] | None = None,
    zero_by_optimizer: bool = False,
    until: int = STEPS,
    jitter: float = 0.0,
    meddle: Callable[[int, Any, nn.Module], Any] | None = None,
    look: Callable[[Any], Any] | None = None,
) -> Weights:
    """The weights after `STEPS` steps, of which `rule` acts in the first `until`.

    Args:
        case: the optimizer.
        way: "none", "1" (a constraint: `project_()` after every step), "2", "3", "inside" (by hand, around the step of
            the inner optimizer), "both" (a constraint: as inside, and after every step) or "decay" (the inner
            optimizer's own).
        rule: not bound.
        drive: in place of the case's own.
        zero_by_optimizer: `optimizer.zero_grad()` in place of the model's.
        until: the number of the step from which on the rule is gone.
        jitter: a relative perturbation of gradients.
        meddle: what else happens before a step.
        look: at the bound rule after a step.
    """
    model, batches = net()
    with case.around():
        optimizer = case.build(model)
        bound: Any = None if rule is None else rule.on(model)
        handles = case.attach(bound, optimizer) if way == "3" else []
        step = _Step(0)
        if way in {"inside", "both"}:
            _act_inside(case.inner(optimizer), bound, lambda: step.number < until)
        if way == "both" and case.middle is not None:
            _act_inside(case.middle(optimizer), bound, lambda: step.number < until)
        if way == "decay":
            for group in case.inner(optimizer).param_groups:
                group["weight_decay"] = 2 * bound.rule.lam
        penalty = isinstance(rule, rt.Penalty)
        for step.number, (x, y) in enumerate(batches):
            if step.number == until:
                for handle in handles:
                    handle.remove()
            if meddle is not None:
                meddle(step.number, optimizer, model)
            torch.manual_seed(step.number)
            random.seed(step.number)
            numpy.random.seed(step.number)
            acts = penalty and step.number < until
            batch = Batch(
                model,
                x,
                y,
                zero=optimizer.zero_grad if zero_by_optimizer else model.zero_grad,
                in_loss=bound if acts and way == "1" else None,
                by_grad=bound if acts and way == "2" else None,
                second_order=case.second_order,
                jitter=jitter,
                first=step.number == 0,
            )
            (drive or case.drive)(optimizer, batch)
            if way in {"1", "both"} and bound is not None and not penalty:
                bound.project_()
            if look is not None:
                look(bound)
        case.finish(optimizer, model)
        return [p.detach().clone() for p in model.parameters()]


@dataclass
class _Step:
    number: int


def _act_inside(inner: Any, bound: Any, acts: Callable[[], bool]) -> None:
    """By hand and without hooks what weight_decay does: after whatever a wrapper has made of the gradients."""
    step = inner.step

    def with_rule(closure: Callable[[], Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        def add() -> None:
            if acts() and hasattr(bound, "add_grad_"):
                bound.add_grad_()

        def closed() -> Any:
            assert closure is not None
            loss = closure()
            add()
            return loss

        if closure is None:
            add()
        result = step(closed if closure else None, *args, **kwargs)
        if acts() and hasattr(bound, "project_"):
            bound.project_()
        return result

    inner.step = with_rule


def apart(a: Weights, b: Weights) -> float:
    """The largest difference of any weight; infinite where one is not a number."""
    worst = [(p - q).abs().max().item() for p, q in zip(a, b, strict=True)]
    return float("inf") if any(w != w for w in worst) else max(worst)
