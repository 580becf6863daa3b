"""The rules of a trainer's callback: checked, bound to the net, and attached to the optimizers for one training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.bound.activity import Activity, BoundActivity
from regtorch.bound.constraint import BoundConstraint
from regtorch.bound.terms import BoundTerms
from regtorch.constraints import Constraint
from regtorch.masked import MaskedPenalty
from regtorch.outputs import OutputRule
from regtorch.penalties import Penalty
from regtorch.steps.hooks import Handle, bare
from regtorch.steps.parts import owns, parts_of
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
        self._starts: tuple[nn.Module | None, dict[int, Bound]] = None, {}  # a net, and rules by their place
        self._handles: dict[tuple[int, int], Handle] = {}  # by the ids of rule and optimizer
        self._seen: list[tuple[Any, int]] = []  # the optimizers, and their numbers of param groups

    def bind(self, net: nn.Module, *, resumed: bool = False) -> None:
        """Bind the rules that are not bound yet; if the training is resumed, those that `remember` bound stay so.

        Raises:
            ValueError: it is resumed, and a rule's starting point was not there to be remembered.
        """
        of, starts = self._starts
        starts = starts if resumed and of is net else {}
        bound: list[Bound] = []
        for i, rule in enumerate(self.rules):
            if i in starts:
                bound.append(starts[i])
            else:
                bound.append(rule.on(net) if isinstance(rule, Penalty | Constraint) else rule)
                if resumed and _takes_start(rule):
                    raise ValueError(
                        f"{self.who}: {rule!r} starts from the weights before the training, which the checkpoint has "
                        "replaced; give start=..., a state dict of them, or bind it to the net before, by .on(model)"
                    )
        self.bound = tuple(bound)

    def remembers(self, net: nn.Module) -> bool:
        """Whether `remember` was called for a net, and `forget` was not."""
        return self._starts[0] is net

    def remember(self, net: nn.Module) -> None:
        """Bind the rules that look at the weights when they are bound, before anything changes those."""
        self._starts = net, {}
        for i, rule in enumerate(self.rules):
            if isinstance(rule, Penalty) and _looks(rule):
                with suppress(ValueError):  # without weights or values as yet: `begin` binds it, or says what is wrong
                    self._starts[1][i] = rule.on(net)

    def forget(self) -> None:
        """Give back the memory of what `remember` bound."""
        self._starts = None, {}

    def begin(self, net: nn.Module, optimizers: Iterable[Any], advice: str, *, resumed: bool = False) -> None:
        """Bind the rules and attach each to the optimizers that own its weights, for a new or resumed training.

        Raises:
            ValueError: no optimizer owns a weight of a rule; `advice` says how to give it one.
        """
        self.end()
        self.bind(net, resumed=resumed)
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


def _looks(rule: object) -> bool:
    """Whether a rule looks at each weight when it is bound, and so may remember it."""
    return type(_inside(rule)).for_weight is not Penalty.for_weight


def _takes_start(rule: object) -> bool:
    """Whether a rule remembers the weights of its binding, as it was given no others."""
    return isinstance(rule, Penalty) and getattr(_inside(rule), "start", ...) is None


def _inside(rule: Any) -> Any:
    return rule.rule if isinstance(rule, MaskedPenalty) else rule
