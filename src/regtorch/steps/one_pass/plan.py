"""The weights that one compiled function steps, and the numbers that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.steps.one_pass.compiled import Arguments, Form
from regtorch.steps.one_pass.kinds import Kinds, kind_of
from regtorch.steps.one_pass.recipe import Recipe
from regtorch.steps.one_pass.updates import DECAYS, STEP, Update

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["Plan", "plans"]

_ALIKE, _TOGETHER = 16, 32  # weights in one compiled function: of one kind, of several


class Plan:
    """Some weights of one optimizer.

    Attributes:
        recipes: of the weights.
        form: what the compiled function needs to know of them.
        key: what it depends on.
        done: the ids of the weights whose rules a step has done, by place; those under "gradient" are stepped.
    """

    def __init__(self, optimizer: Optimizer, update: Update, recipes: Sequence[Recipe], rules: int) -> None:
        self.recipes, self._update = recipes, update
        self._tensors: Kinds | None = None  # of the first step
        groups = [optimizer.param_groups[recipe.group] for recipe in recipes]
        kinds = [
            (recipe.group, torch.promote_types(recipe.p.dtype, torch.float32), step)
            for recipe, step in zip(recipes, self._steps([optimizer.state[r.p] for r in recipes]), strict=True)
        ]
        found = list(dict.fromkeys(kinds))
        self._kinds = [(group, dtype) for group, dtype, _ in found]
        places: tuple[Place, ...] = ("gradient", "proximal", "constraint")
        self.done: dict[Place, set[int]] = {
            place: {id(recipe.p) for recipe in recipes if place not in recipe.outside} for place in places
        }
        self.form = Form(
            recipes=recipes,
            shares=[found.index(kind) for kind in kinds],
            names=[
                (*update.factors(_plain(optimizer.param_groups[at]), 1.0), *(f"rule {i}" for i in range(rules)))
                for at, _ in self._kinds
            ],
            flags=[
                {name: group[name] for name in update.flags} | {DECAYS: bool(group["weight_decay"])} for group in groups
            ],
        )
        self.key = (
            tuple((recipe.key, _kinds_of(recipe.p, optimizer.state[recipe.p])) for recipe in recipes),
            tuple(self.form.shares),
            tuple(tuple(flags.items()) for flags in self.form.flags),
            rules,
        )

    def arguments(self, optimizer: Optimizer, values: Sequence[float]) -> Arguments | None:
        """What the compiled function takes at this step; None if it cannot take these weights now."""
        weights = [recipe.p.detach() for recipe in self.recipes]
        grads = [g for recipe in self.recipes if (g := recipe.p.grad) is not None]
        rows = [optimizer.state[recipe.p] for recipe in self.recipes]
        try:
            states = [[row[name] for name in recipe.states] for recipe, row in zip(self.recipes, rows, strict=True)]
        except KeyError:  # somebody has cleared them
            return None
        flat = [*weights, *grads, *(t for tensors in states for t in tensors)]
        if self._tensors is None:
            self._tensors = Kinds(flat)
        elif not self._tensors.fit(flat):
            return None
        steps: list[float] = [0.0] * len(self._kinds)
        for share, step in zip(self.form.shares, self._steps(rows), strict=True):
            if steps[share] not in (0.0, step):  # a state was loaded
                return None
            steps[share] = step
        groups = optimizer.param_groups  # others once a state is loaded
        numbers = [
            torch.tensor([*self._update.factors(_plain(groups[at]), step).values(), *values], dtype=dtype, device="cpu")
            for (at, dtype), step in zip(self._kinds, steps, strict=True)
        ]
        return weights, grads, states, numbers

    def _steps(self, states: Sequence[Mapping[str, Any]]) -> list[float]:
        """The number of each weight's step; 1 where it is not counted."""
        pairs = zip(self.recipes, states, strict=True)
        return [1.0 + float(state[STEP]) if STEP in recipe.states else 1.0 for recipe, state in pairs]


def _kinds_of(p: nn.Parameter, state: Mapping[str, Any]) -> tuple[object, ...]:
    """The kinds of a weight, its gradient and the tensors of its state, without their numbers."""
    g = p.grad
    tensors = [p, *([] if g is None else [g]), *(t for t in state.values() if isinstance(t, Tensor))]
    return tuple(map(kind_of, tensors))


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with rates that are tensors as numbers."""
    return {name: float(value) if isinstance(value, Tensor) else value for name, value in group.items()}


def plans(optimizer: Optimizer, update: Update, found: Sequence[Recipe], rules: int) -> list[Plan]:
    """Weights to step in one call: many of one kind share a compiled function, the rest has one of its own."""
    return [Plan(optimizer, update, part, rules) for part in _parts(optimizer, found)]


def _parts(optimizer: Optimizer, found: Sequence[Recipe]) -> Iterator[Sequence[Recipe]]:
    alike: dict[object, list[Recipe]] = {}
    for recipe in found:
        kind = recipe.key, _kinds_of(recipe.p, optimizer.state[recipe.p])
        alike.setdefault(kind, []).append(recipe)
    rest: list[Recipe] = []
    for kind in alike.values():
        even = len(kind) // _ALIKE * _ALIKE if len(kind) > _TOGETHER else 0
        yield from (kind[at : at + _ALIKE] for at in range(0, even, _ALIKE))
        rest += kind[even:]
    yield from (rest[at : at + _TOGETHER] for at in range(0, len(rest), _TOGETHER))
