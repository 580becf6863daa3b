"""The rules attached to one optimizer, and their actions before and after each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import ref

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.numerics.unreplaced import NOTHING_REPLACED
from regtorch.steps import proximal
from regtorch.steps.closures import left_out, reads
from regtorch.steps.debug import check_all
from regtorch.steps.frames import Outermost
from regtorch.steps.held import HeldGradients
from regtorch.steps.kept import KeptWeights
from regtorch.steps.lending import lends_decay, used, view_of
from regtorch.steps.one_pass.compiled_steps import OnePass
from regtorch.steps.one_pass.whole import Whole
from regtorch.steps.outer_steps import OuterSteps
from regtorch.steps.parts import is_again, parts_of
from regtorch.steps.scheduled import Scheduled
from regtorch.steps.unstepped import Watch, watch
from regtorch.steps.wrappers import check_minimises, owned_by

if TYPE_CHECKING:
    from regtorch.bound.constraint import BoundConstraint
    from regtorch.bound.terms import BoundTerms, Term

__all__ = ["Attached", "Place"]

Place = Literal["gradient", "proximal", "constraint"]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Attached:
    """The rules attached to one optimizer."""

    steps_of_all = 0  # of all optimizers with rules

    def __init__(self) -> None:
        self.rules: dict[Place, list[Any]] = {"gradient": [], "proximal": [], "constraint": []}
        self.steps = 0
        self.stepped = False
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._kept = KeptWeights()
        self._outermost = Outermost()
        self._outer_steps: dict[int, OuterSteps] = {}  # of constraints inside wrappers, by id
        self._scheduled: dict[int, Scheduled] = {}  # by the id of the rule
        self._unchecked: list[Any] = []  # single rules to check at the first step
        self._held = HeldGradients()
        self._view: Optimizer | None = None
        self._watch: Watch | None = None
        self.one_pass: OnePass | Whole | None = None
        self._owned: set[int] = set()  # ids of the optimizer's weights at this step
        self._taken = _none_taken()  # ids of the weights that this step's one pass is done with, by place

    def parts(self) -> Iterator[Term | BoundConstraint]:
        """All single rules, with sums split into terms."""
        return (part for place in self.rules.values() for bound in place for part in parts_of(bound))

    def add(
        self,
        optimizer: Optimizer,
        place: Place,
        bound: BoundTerms | BoundConstraint,
        here: Sequence[Term | BoundConstraint],
        wrappers: Sequence[Any],
    ) -> None:
        """Add a rule; `here` are its parts with weights in the optimizer, `wrappers` wrap the optimizer."""
        self.hook(optimizer)
        if not self.stepped and self._watch is None:
            me = ref(self)  # the garbage collector cannot break cycles through a parameter's hook
            self._watch = watch(
                optimizer, bound, here, lambda: getattr(me(), "stepped", True), lambda: Attached.steps_of_all
            )
        if place == "constraint" and wrappers:
            rule: Any = bound
            self._outer_steps[id(bound)] = OuterSteps(rule, wrappers, lambda: rule.project_owned(owned_by(optimizer)))
        self.rules[place].append(bound)
        self._kept.check(optimizer, here, owned_by(optimizer))

    def remove(self, place: Place, bound: BoundTerms | BoundConstraint) -> None:
        """Remove a rule, and with the last one the hooks."""
        self.rules[place] = [rule for rule in self.rules[place] if rule is not bound]
        self._scheduled.pop(id(bound), None)
        if id(bound) in self._outer_steps:
            self._outer_steps.pop(id(bound)).remove()
        self._unchecked = [part for part in self._unchecked if part not in parts_of(bound)]
        self._kept.forget(self.parts())
        self._held.forget(parts_of(bound))
        if not any(self.rules.values()) and self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._unhook()

    def fuse(self, optimizer: Optimizer, one_pass: OnePass | None) -> None:
        """Let compiled passes make the steps; None lets the optimizer make them again."""
        self.one_pass = one_pass
        self.hook(optimizer)
        self._unhook()

    def hook(self, optimizer: Optimizer) -> None:
        """Act at the optimizer's steps; idempotent."""
        if not self._hooks:
            before = optimizer.register_step_pre_hook(self.before_step)
            self._hooks = [before, optimizer.register_step_post_hook(self.after_step)]

    def _unhook(self) -> None:
        if not any(self.rules.values()) and self.one_pass is None:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def schedule(self, bound: BoundTerms, schedule: Callable[[int], float]) -> Scheduled:
        """Let a schedule set the scale of a rule before every step."""
        scheduled = self._scheduled[id(bound)] = Scheduled(bound, schedule)
        return scheduled

    def check_later(self, bound: Any) -> None:
        """Check a rule on copies of its weights before the first step."""
        self._unchecked += parts_of(bound)
        eagerly: Any = torch.compiler.disable
        self._check: Callable[[], None] = eagerly(lambda: check_all(self._unchecked))

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        """Add the gradients: now, or after each call of the closure, which computes new ones."""
        if not self._outermost.begin():
            return None
        self._begin(optimizer)
        with NOTHING_REPLACED:
            return self._before(optimizer, args, kwargs)

    def _before(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        self._look(optimizer)
        if not self.rules["gradient"] and self.one_pass is None:
            return None
        check_minimises(optimizer, self.rules["gradient"])
        closure = kwargs.get("closure", args[1] if len(args) > 1 and callable(args[1]) else None)
        decays: dict[int, float] = {}
        lends = lends_decay(optimizer)
        if closure is None:
            held = self._held.of(optimizer)
            twice = self._held.by_others(optimizer, self._terms(), is_again)
            self._take(optimizer, held.union(*twice.values()) if twice else held)
            if self._add_gradients(optimizer, decays if lends else None, held, twice):
                self._held.note(optimizer)
                self._held.note_for_others()
        else:
            closure = self._wrap(optimizer, closure, decays if lends else None)
        if (lends and (decays or closure is not None)) or self.one_pass is not None:
            self._view = view_of(optimizer, decays, self._taken["gradient"])
        elif closure is None:
            return None
        first = optimizer if self._view is None else self._view
        if closure is not None and "closure" not in kwargs:
            return (first, closure, *args[2:]), kwargs
        return (first, *args[1:]), kwargs if closure is None else {**kwargs, "closure": closure}

    def make_step(self, optimizer: Optimizer, whole: Whole) -> None:
        """What a step does whose update a compiled function makes, without the calls of an optimizer's step."""
        self._begin(optimizer)
        if whole.fresh:  # else they are those of the last step
            self._look(optimizer)
        self._taken = whole.take(optimizer, self.rules, set())
        self._end(optimizer)

    def _begin(self, optimizer: Optimizer) -> None:
        self.stepped = True
        if self._unchecked:
            self._check()
        for scheduled in self._scheduled.values():
            scheduled.look()
        for scheduled in self._scheduled.values():
            scheduled.move()
        for outer in self._outer_steps.values():
            outer.before_step()
        if not torch.compiler.is_compiling():  # a changing number would recompile every step
            self.steps += 1
            Attached.steps_of_all += 1
            for part in self.parts():
                part.choose_again(f"at step {self.steps} of {type(optimizer).__name__}", optimizer)
        self._view, self._taken = None, _none_taken()

    def _look(self, optimizer: Optimizer) -> None:
        """Note which weights the optimizer owns, and that it still owns those of the rules."""
        owned = owned_by(optimizer)
        if torch.compiler.is_compiling() or owned != self._owned:  # compiled, the question would be a guard
            self._owned = owned
        self._kept.check(optimizer, self.parts(), self._owned)

    def _wrap(
        self, optimizer: Optimizer, closure: Callable[[], Any], decays: dict[int, float] | None
    ) -> Callable[[], Any]:
        def with_penalty() -> Any:
            loss = closure()
            if decays is not None:
                decays.clear()
            if left_out(loss, optimizer):
                return None
            self._take(optimizer, set())
            self._add_gradients(optimizer, decays, set(), {})
            self._held.note(optimizer)
            if not reads(optimizer, loss):
                return loss
            with torch.no_grad():  # the loss must match the gradient
                terms = [pair for bound in self.rules["gradient"] for pair in bound.terms()]
                left = self._left()
                total = loss + sum(v for factor, term in terms for v in term.values(factor, left).values())
            return total if isinstance(loss, Tensor) else float(total)

        return with_penalty

    def _take(self, optimizer: Optimizer, held: set[int]) -> None:
        if self.one_pass is not None:
            for place, ids in self.one_pass.take(optimizer, self.rules, held).items():
                self._taken[place] |= ids

    def _terms(self) -> list[Any]:
        return [term for bound in self.rules["gradient"] for _, term in bound.terms()]

    def _left(self, place: Place = "gradient") -> set[int]:
        """The ids of the weights on which the rules of a place have to act; at first, which the optimizer steps."""
        done = self._taken[place]
        return self._owned - done if done else self._owned

    @torch.no_grad()
    def _add_gradients(
        self, optimizer: Optimizer, decays: dict[int, float] | None, held: set[int], twice: dict[int, set[int]]
    ) -> bool:
        """Add each penalty's gradient, except to `held` weights; what weight_decay can do goes to `decays`, if given.

        Args:
            optimizer: whose step is about to be made.
            decays: by the ids of the weights.
            held: the ids of weights whose gradients hold all penalties.
            twice: those whose gradients hold a term, by the term's id.

        Returns:
            Whether any gradient may have changed.
        """
        # Under a GradScaler, a fused optimizer unscales gradients inside its step.
        grad_scale: Tensor | None = getattr(optimizer, "grad_scale", None)
        all_left, added = self._left(), False
        self._held.added = []
        if not all_left:
            return False
        lent: dict[int, float] = {}
        rest = True
        for bound in self.rules["gradient"]:
            for factor, term in bound.terms():
                left = all_left - twice[id(term)] if id(term) in twice else all_left
                if decays is not None:
                    lent, rest = term.lent(factor, left)
                    for key, decay in lent.items():
                        decays[key] = decays.get(key, 0.0) + decay
                if rest:
                    if grad_scale is not None and factor:
                        factor = factor * grad_scale
                    on = left - lent.keys() if lent else left
                    term.add_grad_to(factor, on - held if held else on)
                    self._held.added.append((term, on))
                    added = True
        return added

    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Proximal steps first, then projections."""
        if self._outermost.end():
            self._end(optimizer)

    def _end(self, optimizer: Optimizer) -> None:
        for scheduled in self._scheduled.values():
            scheduled.count(optimizer)
        self._held.clear()
        if self._view is not None and not used(self._view):
            raise RuntimeError(
                f"a step pre-hook of this {type(optimizer).__name__} replaced the arguments of the step, so the "
                "penalty did not act; make it return the arguments that it receives"
            )
        if self.rules["proximal"] or self.rules["constraint"]:
            with torch.no_grad():
                self._move(optimizer)

    def _move(self, optimizer: Optimizer) -> None:
        pairs = [pair for bound in self.rules["proximal"] for pair in bound.terms()]
        if pairs and (left := self._left("proximal")):
            proximal.apply(optimizer, pairs, left, self._taken["gradient"])
        left = self._left("constraint")
        for bound in self.rules["constraint"] if left else ():
            bound.project_owned(left, getattr(optimizer, "found_inf", None))
        for outer in self._outer_steps.values():
            outer.after_step()


def _none_taken() -> dict[Place, set[int]]:
    return {"gradient": set(), "proximal": set(), "constraint": set()}
