"""The rules of a trainer's callback: checked, bound to the net, and attached to the optimizers for one training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.bound.activity import Activity, BoundActivity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.terms import BoundTerms
from regtorch.constraints import Constraint
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty
from regtorch.steps.attached import owns, parts_of
from regtorch.steps.hooks import Handle, bare
from regtorch.trainers.scheduled import Schedule, paired

__all__ = ["Attaching", "Bound", "Given"]

Bound = BoundTerms | BoundConstraint
Given = Penalty | Constraint | Bound | tuple[Penalty | BoundTerms, Schedule]


class Attaching:
    """Rules that act at the steps of a trainer's optimizers, while it trains.

    Args:
        who: the callback, for errors.
        given: rules, bound or not; a pair (penalty, schedule) has its own schedule.
        proximal: apply the penalties by proximal steps.
        schedule: sets the scale of every other penalty before each step.
        debug: check each rule on copies of the weights before the first step.
        in_loss: what to do with a penalty of outputs, for errors.

    Attributes:
        rules: those given, without schedules.
        bound: those of the training, bound to the net.
        scheduled: their schedules.

    Raises:
        TypeError: a rule is not a penalty or constraint, or is an `Activity` or a rule of outputs, which must be part
            of the loss; or a schedule is not a function.
        ValueError: there is a schedule but no penalty.
    """

    def __init__(
        self,
        who: str,
        given: Sequence[Any],
        *,
        proximal: bool = False,
        schedule: Schedule | None = None,
        debug: bool = False,
        in_loss: str,
    ) -> None:
        self.who, self.proximal, self.debug = who, proximal, debug
        self.rules, self.scheduled = paired(given, schedule, who)
        for rule in self.rules:
            self._check(rule, in_loss)
        self.bound: tuple[Bound, ...] = ()
        self._handles: dict[tuple[int, int], Handle] = {}  # by the ids of rule and optimizer
        self._seen: list[tuple[Any, int]] = []  # the optimizers, and their numbers of param groups

    def bind(self, net: nn.Module) -> None:
        """Bind the rules that are not bound yet."""
        self.bound = tuple(rule.on(net) if isinstance(rule, Penalty | Constraint) else rule for rule in self.rules)

    def begin(self, net: nn.Module, optimizers: Iterable[Any], advice: str) -> None:
        """Bind the rules and attach each to the optimizers that own its weights, for a new training.

        Raises:
            ValueError: no optimizer owns a weight of a rule; `advice` says how to give it one.
        """
        self.end()
        self.bind(net)
        inside = [bare(optimizer, self.who) for optimizer in optimizers]
        for rule in self.bound:
            if not any(any(owns(optimizer, part) for part in parts_of(rule)) for optimizer in inside):
                raise ValueError(
                    f"{self.who}: no optimizer of the trainer owns a weight of {rule!r}; {advice}, or leave the rule "
                    "out"
                )
        self.attach(inside)

    def attach(self, optimizers: Iterable[Any]) -> None:
        """Attach each rule to the optimizers that own its weights and do not have it yet."""
        inside = [bare(optimizer, self.who) for optimizer in optimizers]
        for key in [key for key in self._handles if all(key[1] != id(optimizer) for optimizer in inside)]:
            self._handles.pop(key).remove()  # of an optimizer that the trainer has no longer
        for i, (rule, schedule) in enumerate(zip(self.bound, self.scheduled.schedules, strict=True)):
            for j, optimizer in enumerate(inside):
                key = id(rule), id(optimizer)
                if key not in self._handles and any(owns(optimizer, part) for part in parts_of(rule)):
                    self._handles[key] = (
                        rule.attach(optimizer, debug=self.debug)
                        if isinstance(rule, BoundConstraint)
                        else rule.attach(optimizer, proximal=self.proximal, schedule=schedule, debug=self.debug)
                    )
                    self.scheduled.follow(i, j, self._handles[key], rule)
        self._seen = [(optimizer, len(optimizer.param_groups)) for optimizer in inside]

    def attach_to_new_groups(self, optimizers: Sequence[Any]) -> None:
        """Attach rules to param groups that were added, as when layers are unfrozen, and to optimizers made anew."""
        inside = [bare(optimizer, self.who) for optimizer in optimizers]
        known = len(inside) == len(self._seen) and all(
            optimizer is seen and len(optimizer.param_groups) == groups
            for optimizer, (seen, groups) in zip(inside, self._seen, strict=True)
        )
        if not known:
            self.attach(inside)

    def end(self) -> None:
        """Detach all rules; idempotent."""
        self.scheduled.stop()
        self._seen = []
        while self._handles:
            self._handles.popitem()[1].remove()

    @torch.no_grad()
    def penalty(self, device: torch.device | str = "cpu") -> Tensor:
        """The current sum of the penalties."""
        values = [rule().to(device) for rule in self.bound if isinstance(rule, BoundTerms)]
        return torch.stack(values).sum() if values else torch.zeros((), device=device)

    def _check(self, rule: object, in_loss: str) -> None:
        terms = [term for _, term in rule.terms()] if isinstance(rule, BoundTerms) else [rule]
        if any(isinstance(term, Activity | BoundActivity) for term in terms):
            raise TypeError(f"{self.who}: an Activity penalty acts through the outputs' graph; {in_loss}")
        if isinstance(rule, OutputRule):
            raise TypeError(f"{self.who}: {rule!r} depends on the data; {in_loss}")
        if not isinstance(rule, Penalty | Constraint | BoundTerms | BoundConstraint):
            raise TypeError(f"{self.who}: expected rules such as rt.L2(0.01) or rt.MaxNorm(3.0), received {rule!r}")
