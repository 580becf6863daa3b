"""The passes of one optimizer, each compiled once and used for as long as nothing about its weights changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.steps.one_pass.compiled import Pass, compiled
from regtorch.steps.one_pass.recipe import Recipe, factors, recipes
from regtorch.steps.one_pass.updates import Update
from regtorch.steps.optimizers import facts_of

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["OnePass"]

_ALIKE, _TOGETHER = 16, 32  # weights in one compiled function: of one kind, of several
_MOST = 64  # compiled functions; more mean that weights change all the time


class OnePass:
    """Steps the weights of one optimizer, with their rules.

    Attributes:
        why_not: why it has stopped; empty while it works.
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._passes: dict[tuple[object, ...], Pass] = {}
        self._numbers: dict[tuple[object, ...], Tensor] = {}
        self.why_not = ""

    @torch.no_grad()
    def take(self, optimizer: Optimizer, rules: Mapping[Place, Sequence[Any]], held: Set[int]) -> set[int]:
        """Step what a pass can take, without the weights `held`; the ids of the weights that are done."""
        done: set[int] = set()
        scaled = getattr(optimizer, "grad_scale", None) is not None or getattr(optimizer, "found_inf", None) is not None
        if self.why_not or scaled or torch.compiler.is_compiling():
            return done
        found = [recipe for recipe in recipes(optimizer, self._update, rules) if id(recipe.p) not in held]
        values = factors(rules)
        for plan in _plans(found):
            if not self._step(optimizer, plan, values):
                break
            done.update(id(recipe.p) for recipe in plan)
        return done

    def _step(self, optimizer: Optimizer, plan: Sequence[Recipe], values: Sequence[float]) -> bool:
        """Step the weights of a plan; False, and nothing has changed, if that cannot be compiled."""
        key = tuple(recipe.key for recipe in plan)
        device = plan[0].p.device
        weights = [recipe.p.detach() for recipe in plan]
        grads = [_grad(recipe) for recipe in plan]
        states = [[optimizer.state[recipe.p][name] for name in recipe.states] for recipe in plan]
        groups = [self._group(group, device) for group in optimizer.param_groups]
        numbers = [self._number(("factor", index), value, device) for index, value in enumerate(values)]
        try:
            if key not in self._passes:
                if len(self._passes) == _MOST:
                    raise RuntimeError(f"weights or rules changed {_MOST} times; fuse once they are as they stay")
                self._passes[key] = compiled(self._update, facts_of(optimizer).step_size, plan)
            self._passes[key](weights, grads, states, groups, numbers)
        except Exception as error:  # no compiler, or a rule that cannot be compiled
            first = next(iter(str(error).strip().splitlines()), "")
            self.why_not = f"{type(error).__name__}: {first}"
            warnings.warn(
                f"fuse: the steps of this {type(optimizer).__name__} cannot be compiled and are made without: "
                f"{self.why_not}",
                stacklevel=2,
            )
            return False
        return True

    def _group(self, group: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        numbers: dict[str, Any] = {name: self._settings(name, group[name], device) for name in self._update.numbers}
        return numbers | {name: group[name] for name in self._update.flags}

    def _settings(self, name: str, value: Any, device: torch.device) -> Any:
        if isinstance(value, tuple | list):
            return tuple(self._settings(name, part, device) for part in value)
        if isinstance(value, Tensor):
            return value.detach().to(device, torch.float64).reshape(())
        if name == "momentum" and not value:  # there is no buffer, and a compiled step depends on that
            return value
        return self._number((name,), value, device)

    def _number(self, name: tuple[object, ...], value: float, device: torch.device) -> Tensor:
        """A 0-dim tensor of a number, the same one for as long as the number stays."""
        key = (*name, value, device)
        if key not in self._numbers:
            if len(self._numbers) > 1000:  # a schedule's earlier numbers
                self._numbers.clear()
            self._numbers[key] = torch.tensor(value, dtype=torch.float64, device=device)
        return self._numbers[key]


def _grad(recipe: Recipe) -> Tensor:
    assert recipe.p.grad is not None
    return recipe.p.grad


def _plans(found: Sequence[Recipe]) -> Iterator[list[Recipe]]:
    """Weights to step in one call: many of one kind share a compiled function, the rest has one of its own."""
    alike: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in found:
        alike.setdefault((recipe.p.device, recipe.key), []).append(recipe)
    rest: dict[torch.device, list[Recipe]] = {}
    for kind in alike.values():
        even = len(kind) // _ALIKE * _ALIKE if len(kind) > _TOGETHER else 0
        yield from (kind[at : at + _ALIKE] for at in range(0, even, _ALIKE))
        rest.setdefault(kind[0].p.device, []).extend(kind[even:])
    for group in rest.values():
        yield from (group[at : at + _TOGETHER] for at in range(0, len(group), _TOGETHER))
