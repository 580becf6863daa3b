"""The weights that one compiled function steps, and the numbers that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.steps.one_pass.compiled import Arguments, Form, Pass
from regtorch.steps.one_pass.kinds import Kinds, kind_of
from regtorch.steps.one_pass.recipe import Recipe
from regtorch.steps.one_pass.updates import DECAYS, STEP, Update

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["Numbers", "Plan", "plans"]

_TOGETHER = 32  # weights in one compiled function


class Numbers:
    """The numbers of a step that are the same for all elements, computed once for all weights that share them.

    Args:
        optimizer: whose settings they follow.
        update: its formula.
        values: the factors of the penalties.
    """

    def __init__(self, optimizer: Optimizer, update: Update, values: Sequence[float]) -> None:
        self._groups, self._update, self._values = optimizer.param_groups, update, values
        self._known: dict[tuple[int, torch.dtype, float], Tensor] = {}

    def __call__(self, group: int, dtype: torch.dtype, step: float) -> Tensor:
        """Those of a param group at a step, in the order in which the form names them."""
        key = group, dtype, step
        if key not in self._known:
            own = self._update.factors(_plain(self._groups[group]), step).values()
            self._known[key] = torch.tensor([*own, *self._values], dtype=dtype, device="cpu")
        return self._known[key]


class Plan:
    """Some weights of one optimizer, and the tensors of their states, for as long as these are the optimizer's.

    Attributes:
        recipes: of the weights.
        form: what the compiled function needs to know of them.
        key: what it depends on.
        done: the ids of the weights whose rules a step has done, by place; those under "gradient" are stepped.
        run: the compiled function, once there is one.
    """

    def __init__(self, optimizer: Optimizer, update: Update, recipes: Sequence[Recipe], rules: int) -> None:
        self.recipes = recipes
        self.run: Pass | None = None
        self._weights: list[Tensor] = [recipe.p for recipe in recipes]
        rows = [optimizer.state[p] for p in self._weights]
        self._states = [row[name] for recipe, row in zip(recipes, rows, strict=True) for name in recipe.moved]
        self._counted = [i for i, recipe in enumerate(recipes) if STEP in recipe.states]
        self._counters = [rows[i][STEP] for i in self._counted]
        self._kinds: Kinds | None = None  # of the weights and gradients of the first step
        self._state_kinds = Kinds([*self._states, *self._counters])
        self._look()
        groups = [optimizer.param_groups[recipe.group] for recipe in recipes]
        kinds = [
            (recipe.group, torch.promote_types(recipe.p.dtype, torch.float32), step)
            for recipe, step in zip(recipes, self._steps(), strict=True)
        ]
        found = list(dict.fromkeys(kinds))
        self._shared = [(group, dtype) for group, dtype, _ in found]
        places: tuple[Place, ...] = ("gradient", "proximal", "constraint")
        self.done: dict[Place, set[int]] = {
            place: {id(recipe.p) for recipe in recipes if place not in recipe.outside} for place in places
        }
        self.form = Form(
            recipes=recipes,
            shares=[found.index(kind) for kind in kinds],
            names=[
                (*update.factors(_plain(optimizer.param_groups[at]), 1.0), *(f"rule {i}" for i in range(rules)))
                for at, _ in self._shared
            ],
            flags=[
                {name: group.get(name) for name in update.flags} | {DECAYS: bool(group["weight_decay"])}
                for group in groups
            ],
        )
        self.key = (
            tuple((recipe.key, _kinds_of(recipe.p, optimizer.state[recipe.p])) for recipe in recipes),
            tuple(self.form.shares),
            tuple(tuple(flags.items()) for flags in self.form.flags),
            rules,
        )

    def arguments(self, numbers: Numbers) -> Arguments | None:
        """What the compiled function takes at this step; None if it cannot take these weights now."""
        grads = [g for p in self._weights if (g := p.grad) is not None]
        given = [*self._weights, *grads]
        if self._kinds is None:
            self._kinds = Kinds(given)
        elif not self._kinds.fit(given):
            return None
        if not self._state_kinds.fit([*self._states, *self._counters]):  # somebody has turned them, or moved them
            return None
        if self._where() != self._places:
            self._look()
        steps: list[float] = [0.0] * len(self._shared)
        self._step = self._steps()
        for share, step in zip(self.form.shares, self._step, strict=True):
            if steps[share] not in (0.0, step):  # a state was loaded
                return None
            steps[share] = step
        shared = [numbers(at, dtype, step) for (at, dtype), step in zip(self._shared, steps, strict=True)]
        return self._weights, grads, self._states, shared

    def count(self) -> None:
        """Count the step that was made; in the compiled function, each counter would be a barrier of its threads."""
        for i, count in zip(self._counted, self._counts, strict=True):
            count[()] = self._step[i]

    def _look(self) -> None:
        """Note where the counters lie."""
        self._counts = [counter.numpy() for counter in self._counters]  # their own memory, read 5 times as fast
        self._places = self._where()

    def _where(self) -> list[int]:
        return [t.data_ptr() for t in self._counters]

    def _steps(self) -> list[float]:
        """The number of each weight's step; 1 where it is not counted."""
        steps = [1.0] * len(self.recipes)
        for i, count in zip(self._counted, self._counts, strict=True):
            steps[i] += count.item()
        return steps


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
        even = len(kind) // _TOGETHER * _TOGETHER
        yield from (kind[at : at + _TOGETHER] for at in range(0, even, _TOGETHER))
        rest += kind[even:]
    yield from (rest[at : at + _TOGETHER] for at in range(0, len(rest), _TOGETHER))
