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
from regtorch.steps.one_pass.updates import STEP, Update
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
        flags = tuple(optimizer.param_groups[recipe.group][name] for recipe in plan for name in self._update.flags)
        key = (flags, *(recipe.key for recipe in plan))
        weights = [recipe.p.detach() for recipe in plan]
        grads = [_grad(recipe) for recipe in plan]
        states = [[optimizer.state[recipe.p][name] for name in recipe.states] for recipe in plan]
        factors = self._factors(optimizer, plan, values)
        groups = [_for_step_size(optimizer.param_groups[r.group]) if r.parts["proximal"] else {} for r in plan]
        try:
            if key not in self._passes:
                if len(self._passes) == _MOST:
                    raise RuntimeError(f"weights or rules changed {_MOST} times; fuse once they are as they stay")
                self._passes[key] = compiled(self._update, facts_of(optimizer).step_size, plan)
            self._passes[key](weights, grads, states, factors, groups)
        except Exception as error:  # no compiler, or a rule that cannot be compiled
            first = next(iter(str(error).strip().splitlines()), "")
            self.why_not = f"{type(error).__name__}: {first}"
            warnings.warn(
                f"fuse: the steps of this {type(optimizer).__name__} cannot be compiled and are made without: "
                f"{self.why_not}",
                stacklevel=2,
            )
            return False
        counts = [optimizer.state[recipe.p][STEP] for recipe in plan if STEP in recipe.states]
        if counts:
            torch._foreach_add_(counts, 1)  # pyright: ignore[reportPrivateImportUsage]
        return True

    def _factors(self, optimizer: Optimizer, plan: Sequence[Recipe], values: Sequence[float]) -> list[dict[str, Any]]:
        """The factors of each weight's update and of all penalties, in the precision of its sums."""
        known: dict[tuple[int, float, torch.dtype], dict[str, Any]] = {}
        found: list[dict[str, Any]] = []
        for recipe in plan:
            t = float(optimizer.state[recipe.p][STEP]) + 1 if STEP in recipe.states else 0.0
            dtype = torch.promote_types(recipe.p.dtype, torch.float32)
            key = (recipe.group, t, dtype)
            if key not in known:
                group = optimizer.param_groups[recipe.group]
                numbers = {name: float(number) for name, number in self._update.factors(_plain(group), t).items()}
                numbers |= {f"rule {index}": value for index, value in enumerate(values)}
                known[key] = {name: torch.tensor(number, dtype=dtype) for name, number in numbers.items()}
                known[key] |= {name: group[name] for name in self._update.flags}
            found.append(known[key])
        return found


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a group as numbers: rates may be tensors."""
    return {name: float(value) if isinstance(value, Tensor) else value for name, value in group.items()}


def _for_step_size(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a group as tensors, which may change, but for a momentum of 0, which has no buffer."""
    found: dict[str, Any] = {}
    value: Any
    for name, value in _plain(group).items():
        if name == "betas":
            found[name] = tuple(torch.tensor(float(number), dtype=torch.float64) for number in value)
        elif name != "params" and type(value) in (int, float) and (value or name != "momentum"):
            found[name] = torch.tensor(float(value), dtype=torch.float64)
        elif name != "params":
            found[name] = value
    return found


def _grad(recipe: Recipe) -> Tensor:
    assert recipe.p.grad is not None
    return recipe.p.grad


def _plans(found: Sequence[Recipe]) -> Iterator[list[Recipe]]:
    """Weights to step in one call: many of one kind share a compiled function, the rest has one of its own."""
    alike: dict[tuple[object, ...], list[Recipe]] = {}
    for recipe in found:
        alike.setdefault(recipe.key, []).append(recipe)
    rest: list[Recipe] = []
    for kind in alike.values():
        even = len(kind) // _ALIKE * _ALIKE if len(kind) > _TOGETHER else 0
        yield from (kind[at : at + _ALIKE] for at in range(0, even, _ALIKE))
        rest += kind[even:]
    yield from (rest[at : at + _TOGETHER] for at in range(0, len(rest), _TOGETHER))
