"""The pass as one compiled function of the weights, their gradients, states and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from regtorch.rule import wide
from regtorch.steps.one_pass.recipe import Part, Recipe
from regtorch.steps.one_pass.updates import STEP, Update
from regtorch.steps.optimizers import StepSize

__all__ = ["Pass", "compiled"]

Pass = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], list[dict[str, Any]], list[Tensor]], None]


def compiled(update: Update, step_size: StepSize | None, plan: Sequence[Recipe]) -> Pass:
    """A compiled pass over weights with these recipes: (weights, gradients, states, groups, factors) → None.

    It checks nothing of what it is given, so the recipes must have the keys of these.
    """
    states = [recipe.states for recipe in plan]
    number_of_group = [recipe.group for recipe in plan]
    rules = [recipe.parts for recipe in plan]

    def one_pass(
        weights: list[Tensor],
        grads: list[Tensor],
        tensors: list[list[Tensor]],
        groups: list[dict[str, Any]],
        factors: list[Tensor],
    ) -> None:
        for index, (stored, grad) in enumerate(zip(weights, grads, strict=True)):
            parts, group = rules[index], groups[number_of_group[index]]
            w, g = wide(stored), wide(grad)
            state = {name: wide(t) for name, t in zip(states[index], tensors[index], strict=True)}
            if STEP in state:
                state[STEP] = state[STEP].double() + 1
            for part in parts["gradient"]:
                g = g + factors[part.factor] * part.stored(part.rule.grad(part.units(w)), w)
            w = update.move(w, g, state, group)
            for part in parts["proximal"]:
                assert step_size is not None
                w = _prox(part, w, step_size(group, state), factors[part.factor])
            for part in parts["constraint"]:
                w = part.stored(part.rule(part.units(w)), w)
            stored.copy_(w)
            for name, t in zip(states[index], tensors[index], strict=True):
                t.copy_(state[name])

    # Compiled code is kept by code object, a few versions of each: every pass gets its own.
    own = FunctionType(one_pass.__code__.replace(), one_pass.__globals__, closure=one_pass.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False, options=_OPTIONS)


_OPTIONS: dict[str, Any] = {"guard_filter_fn": lambda guards: [False for _ in guards]}


def _prox(part: Part, w: Tensor, step: float | Tensor, factor: Tensor) -> Tensor:
    t = step * factor
    return part.stored(part.rule.prox(part.units(w), part.units(t) if t.ndim else t), w)
