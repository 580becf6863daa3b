"""A look at one step of an optimizer: its weights before and after, and the task's gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import hypot, sqrt

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.penalty import BoundPenalty
from regtorch.bound.terms import BoundTerms
from regtorch.doctor.along.numbers import floats, local, norms, sampled
from regtorch.doctor.observe.forces import Forces, of_terms
from regtorch.numerics.sharded import is_sharded
from regtorch.steps.hooks import attached_to

__all__ = ["Moved", "StepLook", "StepReader"]


@dataclass(frozen=True)
class Moved:
    """One weight in one step. Norms of large weights are estimated from a sample of their numbers."""

    norm: float  # before the step
    after: float  # the norm after it
    update: float  # the norm of the difference
    grad: float | None  # the gradient's norm, None without a gradient
    matrix: bool
    undone: float | None = None  # the share of the optimizer's step that constraints took back, if there are any

    @property
    def ratio(self) -> float:
        """‖update‖/‖weight‖."""
        return self.update / self.norm if self.norm else 0.0


@dataclass(frozen=True)
class StepLook:
    """One step."""

    step: int  # counted from 1
    weights: Mapping[str, Moved]
    forces: Mapping[str, Forces] = field(default_factory=dict)  # of attached penalties, if they were looked at
    loss: float | None = None  # if it is known

    @cached_property
    def grad(self) -> float:
        """The norm of all gradients together."""
        return hypot(*(one.grad for one in self.weights.values() if one.grad is not None))

    @cached_property
    def matrices(self) -> dict[str, Moved]:
        """The weights with more than one dim that had a gradient."""
        return {name: one for name, one in self.weights.items() if one.matrix and one.grad}


class StepReader:
    """Reads one step, in three parts: before it, between the optimizer's step and the projections, after it."""

    def __init__(self, optimizer: Optimizer, names: Mapping[int, str]) -> None:
        self._optimizer = optimizer
        self.weights: dict[str, nn.Parameter] = {
            names.get(id(p), f"param_groups[{g}][{i}]"): p
            for g, group in enumerate(optimizer.param_groups)
            for i, p in enumerate(group["params"])
            if p.requires_grad and p.numel()
        }
        rules = attached_to(optimizer)
        self._penalties = [rule for rule in rules if isinstance(rule, BoundTerms)]
        self._constrained = {id(p) for rule in rules if isinstance(rule, BoundConstraint) for _, p in rule.leaves()} & {
            id(p) for p in self.weights.values()
        }
        self._before = [sampled(p).clone() for p in self.weights.values()]
        self._stepped: dict[str, Tensor] = {}
        self._grads: dict[str, Tensor] = {}
        self._scale = 1.0
        self._grad_norms: list[Tensor] = []
        self.forces: Mapping[str, Forces] = {}

    @property
    def penalised(self) -> bool:
        """Whether there are penalties whose gradient can be compared: those of shards need all processes."""
        return bool(self._penalties) and not any(is_sharded(p) for p in self.weights.values())

    def read_gradients(self) -> None:
        """While `grad` holds the task's gradient alone."""
        self._grads = {name: local(p.grad) for name, p in self.weights.items() if p.grad is not None}
        self._grad_norms = norms(list(self._grads.values()))
        scale = getattr(self._optimizer, "grad_scale", None)  # of a fused optimizer, which unscales inside its step
        self._scale = 1.0 if scale is None else float(scale)

    def read_forces(self) -> None:
        """The forces of the penalties, likewise."""
        terms = [
            (self._scale * factor, term)
            for rule in self._penalties
            for factor, term in rule.terms()
            if isinstance(term, BoundPenalty)
        ]
        self.forces = of_terms(terms, self.weights)

    def read_stepped(self) -> None:
        """After the optimizer's step, before constraints project."""
        self._stepped = {name: sampled(p).clone() for name, p in self.weights.items() if id(p) in self._constrained}

    def read_after(self, step: int, loss: Tensor | float | None) -> StepLook | None:
        """The look; None if a GradScaler made the optimizer skip the step."""
        skipped = getattr(self._optimizer, "found_inf", None)
        if skipped is not None and float(skipped):
            return None
        after = [sampled(p) for p in self.weights.values()]
        moved = [now - was for now, was in zip(after, self._before, strict=True)]
        every = [norms(self._before), norms(after), norms(moved), self._grad_norms]
        values = floats([norm for group in every for norm in group])
        count = len(self._before)
        grads = dict(zip(self._grads, values[3 * count :], strict=True))
        undone = self._undone(dict(zip(self.weights, zip(self._before, after, strict=True), strict=True)))
        found: dict[str, Moved] = {}
        for index, (name, p) in enumerate(self.weights.items()):
            scale = sqrt(local(p).numel() / max(1, self._before[index].numel()))
            grad = grads.get(name)
            found[name] = Moved(
                norm=scale * values[index],
                after=scale * values[count + index],
                update=scale * values[2 * count + index],
                grad=None if grad is None else grad / self._scale,
                matrix=p.ndim > 1,
                undone=undone.get(name),
            )
        return StepLook(step, found, self.forces, None if loss is None else float(loss))

    def _undone(self, ends: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
        """The part of the optimizer's step u that the projection's step r takes back, -⟨u, r⟩/⟨u, u⟩."""
        names: list[str] = []
        products: list[Tensor] = []
        for name, stepped in self._stepped.items():
            before, after = ends[name]
            update = (stepped - before).flatten().float()
            names.append(name)
            products += [torch.dot(update, (stepped - after).float()), torch.dot(update, update)]
        values: Sequence[float] = floats(products)
        return {name: back / whole for name, back, whole in zip(names, values[::2], values[1::2], strict=True) if whole}
