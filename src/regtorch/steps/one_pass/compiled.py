"""The pass as one compiled function of the weights, their gradients, states and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from types import FunctionType
from typing import Any

from torch import Tensor

from regtorch.rule import is_ours, wide
from regtorch.steps.one_pass.direct import Direct
from regtorch.steps.one_pass.recipe import Part, Recipe
from regtorch.steps.one_pass.sums import plus
from regtorch.steps.one_pass.updates import Update

__all__ = ["Arguments", "Form", "Pass", "apart", "compiled", "pass_of"]

Arguments = tuple[
    list[Tensor],  # the weights
    list[Tensor],  # their gradients
    list[Tensor],  # the tensors of their states, weight by weight
    list[Tensor],  # vectors of numbers, some weights each
]
Pass = Callable[..., None]  # of `Arguments`
_COPIES = count()


@dataclass(frozen=True)
class Form:
    """What a pass over some weights depends on, besides their kinds.

    Attributes:
        recipes: of the weights.
        shares: which of the vectors of numbers is each weight's.
        names: of the numbers in each vector.
        flags: of each weight: the settings that change the formula.
    """

    recipes: Sequence[Recipe]
    shares: Sequence[int]
    names: Sequence[tuple[str, ...]]
    flags: Sequence[Mapping[str, Any]]

    @property
    def is_ours(self) -> bool:
        """Whether all formulas are the library's."""
        return all(is_ours(part.rule) for recipe in self.recipes for parts in recipe.parts.values() for part in parts)


def compiled(update: Update, form: Form) -> Pass:
    """A compiled pass; it must be given what is of the kind it was compiled with."""
    return Direct(apart(pass_of(update, form)), checked=not form.is_ours)


def apart(function: Any) -> Callable[..., Any]:
    """A copy with code and name of its own.

    What is compiled is kept by code object, a few versions of each; sizes that were seen, by name: those that differ
    would be compiled as variables.
    """
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_COPIES)}")
    return FunctionType(code, function.__globals__, closure=function.__closure__)


def pass_of(update: Update, form: Form) -> Pass:
    """The pass as a function of tensors, to be compiled."""
    states = [recipe.moved for recipe in form.recipes]
    ends = list(accumulate(map(len, states)))
    rules = [recipe.parts for recipe in form.recipes]
    shares, names, flags = form.shares, form.names, form.flags

    def one_pass(
        weights: list[Tensor],
        grads: list[Tensor],
        tensors: list[Tensor],
        numbers: list[Tensor],
    ) -> None:
        for index, (stored, grad) in enumerate(zip(weights, grads, strict=True)):
            parts, own = rules[index], shares[index]
            at: dict[str, Any] = {name: numbers[own][i] for i, name in enumerate(names[own])}
            at |= flags[index]
            w, g = wide(stored), wide(grad)
            held = tensors[ends[index] - len(states[index]) : ends[index]]
            state = {name: wide(t) for name, t in zip(states[index], held, strict=True)}
            for part in parts["gradient"]:
                g = plus(g, at[part.name], part.stored(part.rule.grad(part.units(w)), w))
            w = update.move(w, g, state, at)
            for part in parts["proximal"]:
                w = _prox(part, w, update.size_of(state, at), at[part.name])
            for part in parts["constraint"]:
                w = part.stored(part.rule(part.units(w)), w)
            stored.copy_(w)
            for name, t in zip(states[index], held, strict=True):
                t.copy_(state[name])

    return one_pass


def _prox(part: Part, w: Tensor, step: float | Tensor, factor: Tensor) -> Tensor:
    t = step * factor
    return part.stored(part.rule.prox(part.units(w), part.units(t) if t.ndim else t), w)
