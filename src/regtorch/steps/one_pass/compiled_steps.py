"""The passes of one optimizer, each compiled once and used for as long as nothing about its weights changes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from regtorch.steps.one_pass.compiled import Arguments, Pass, compiled
from regtorch.steps.one_pass.plan import Numbers, Plan, plans
from regtorch.steps.one_pass.present import present
from regtorch.steps.one_pass.recipe import factors, recipes
from regtorch.steps.one_pass.unseen import acts_last
from regtorch.steps.one_pass.updates import Update

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["OnePass"]

_MOST = 64  # compiled functions; more mean that weights change all the time


class OnePass:
    """Steps the weights of one optimizer, with their rules.

    Attributes:
        why_not: why it has stopped; empty while it works.
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._passes: dict[tuple[object, ...], Pass] = {}
        self._plans: Sequence[Plan] = ()
        self._present: tuple[object, ...] | None = None  # to which the plans belong
        self.why_not = ""

    @torch.no_grad()
    def take(self, optimizer: Optimizer, rules: Mapping[Place, Sequence[Any]], held: Set[int]) -> dict[Place, set[int]]:
        """Step what a pass can take, without the weights `held`.

        Returns:
            The ids of the weights whose rules are done, by place; those under "gradient" have made their step.
        """
        done: dict[Place, set[int]] = {"gradient": set(), "proximal": set(), "constraint": set()}
        scaled = getattr(optimizer, "grad_scale", None) is not None or getattr(optimizer, "found_inf", None) is not None
        if self.why_not or scaled or torch.compiler.is_compiling() or not acts_last(optimizer):
            return done
        values = factors(rules)
        if 0.0 in values:  # which is no action, and would make NaN of an infinite gradient
            return done
        numbers = Numbers(optimizer, self._update, values)
        plans = self._prepared(optimizer, rules, held, len(values))
        given = [plan.arguments(numbers) for plan in plans]
        if None in given and not held:  # tensors of other kinds
            self._present = None
            plans = self._prepared(optimizer, rules, held, len(values))
            given = [plan.arguments(numbers) for plan in plans]
        for plan, arguments in zip(plans, given, strict=True):
            if arguments is None or not self._step(optimizer, plan, arguments):
                self._present = None
                continue
            for place, ids in plan.done.items():
                done[place] |= ids
        return done

    def _prepared(
        self, optimizer: Optimizer, rules: Mapping[Place, Sequence[Any]], held: Set[int], count: int
    ) -> Sequence[Plan]:
        """The plans for the weights as they are."""
        now = present(optimizer, self._update, rules)
        if held or now != self._present:
            found = [recipe for recipe in recipes(optimizer, self._update, rules) if id(recipe.p) not in held]
            self._plans = plans(optimizer, self._update, found, count)
            self._present = None if held else now
        return self._plans

    def _step(self, optimizer: Optimizer, plan: Plan, arguments: Arguments) -> bool:
        """Step the weights of a plan; False, and nothing has changed, if that is not possible."""
        if self.why_not:
            return False
        try:
            if plan.run is None:
                plan.run = self._pass_for(plan)
            plan.run(*arguments)
            plan.count()
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

    def _pass_for(self, plan: Plan) -> Pass:
        if plan.key not in self._passes:
            if len(self._passes) == _MOST:
                raise RuntimeError(f"weights or rules changed {_MOST} times; fuse once they are as they stay")
            self._passes[plan.key] = compiled(self._update, plan.form)
        return self._passes[plan.key]
