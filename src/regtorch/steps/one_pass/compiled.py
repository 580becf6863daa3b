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

Pass = Callable[[list[Tensor], list[Tensor], list[list[Tensor]], list[dict[str, Any]], list[dict[str, Any]]], None]


def compiled(update: Update, step_size: StepSize | None, plan: Sequence[Recipe]) -> Pass:
    """A compiled pass over weights with these recipes: (weights, gradients, states, factors, groups) → None.

    It checks nothing of what it is given, so the recipes must have the keys of these. A weight's factors are those of
    its update, and by number those of its penalties; its group is needed for a proximal step.
    """
    states = [recipe.states for recipe in plan]
    rules = [recipe.parts for recipe in plan]

    def one_pass(
        weights: list[Tensor],
        grads: list[Tensor],
        tensors: list[list[Tensor]],
        factors: list[dict[str, Any]],
        groups: list[dict[str, Any]],
    ) -> None:
        for index, (stored, grad) in enumerate(zip(weights, grads, strict=True)):
            parts, at = rules[index], factors[index]
            w, g = wide(stored), wide(grad)
            state = {name: wide(t) for name, t in zip(states[index], tensors[index], strict=True)}
            for part in parts["gradient"]:
                g = g + at[part.name] * part.stored(part.rule.grad(part.units(w)), w)
            w = update.move(w, g, state, at)
            for part in parts["proximal"]:
                assert step_size is not None
                if STEP in state:
                    state[STEP] = state[STEP].double() + 1
                w = _prox(part, w, step_size(groups[index], state), at[part.name])
            for part in parts["constraint"]:
                w = part.stored(part.rule(part.units(w)), w)
            stored.copy_(w)
            for name, t in zip(states[index], tensors[index], strict=True):
                if name != STEP:  # which the caller counts
                    t.copy_(state[name])

    # Compiled code is kept by code object, a few versions of each: every pass gets its own.
    own = FunctionType(one_pass.__code__.replace(), one_pass.__globals__, closure=one_pass.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False, options=_OPTIONS)


_OPTIONS: dict[str, Any] = {"guard_filter_fn": lambda guards: [False for _ in guards]}


def _prox(part: Part, w: Tensor, step: float | Tensor, factor: Tensor) -> Tensor:
    t = step * factor
    return part.stored(part.rule.prox(part.units(w), part.units(t) if t.ndim else t), w)
