"""Attach rules to optimizer steps: gradients before a step, proximal steps and then projections after it.

Each optimizer has one pre-hook and one post-hook, so the order of attaching does not matter. As for all torch hooks,
`copy.deepcopy(optimizer)` and pickling drop them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import ref

from torch.optim import Optimizer

from regtorch.steps import proximal
from regtorch.steps.attached import Attached, Place
from regtorch.steps.optimizers import check_step_size
from regtorch.steps.parts import is_again, owns, parts_of
from regtorch.steps.scheduled import Scheduled
from regtorch.steps.wrappers import bare, check_minimises, check_penalty, check_steps, layers, own_optimizer, owned_by

if TYPE_CHECKING:
    from regtorch.bound.constraint import BoundConstraint
    from regtorch.bound.terms import BoundTerms

__all__ = ["Handle", "attach", "attached_of", "attached_to", "bare", "owned_by"]


class Handle:
    """Detaches a rule from an optimizer, and holds the state of its schedule.

    A deep copy, or what is read from a pickle, is of a rule that is detached, as copies of an optimizer drop its hooks;
    `steps` stays readable.
    """

    def __init__(self, attached: Attached, place: Place, bound: BoundTerms | BoundConstraint, unowned: str) -> None:
        self._attached: Callable[[], Attached | None] = ref(attached)
        self._place: Place = place
        self._bound = bound
        self._unowned = unowned
        self._removed = False
        self._schedule: Scheduled | None = None
        self._counted: int | None = None  # steps, in a copy

    def __repr__(self) -> str:
        how = ", by proximal steps" if self._place == "proximal" else ""
        how += f", schedule={self._schedule.schedule!r}" if self._schedule is not None else ""
        return f"Handle({self._bound!r}{how}{self._unowned}{', removed' * self._removed})"

    def __copy__(self) -> Handle:
        twin = object.__new__(Handle)
        vars(twin).update(vars(self))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        counted = self._counted if self._schedule is None else self._schedule.steps
        own = {"_attached": _nothing, "_removed": True, "_schedule": None, "_counted": counted}
        return vars(self) | own

    def follow(self, schedule: Callable[[int], float]) -> None:
        """Let a schedule set the rule's scale before every step."""
        attached = self._attached()
        if attached is not None:
            bound: Any = self._bound
            self._schedule = attached.schedule(bound, schedule)

    @property
    def steps(self) -> int:
        """The number of steps that the schedule has counted; set it to resume training.

        Raises:
            AttributeError: the rule was attached without a schedule.
            TypeError: set to something else than a whole number, or the schedule does not return a number there.
            ValueError: the schedule returns a negative, infinite or NaN number there.
        """
        return self._scheduled().steps if self._counted is None else self._counted

    @steps.setter
    def steps(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise TypeError(f"steps must be a whole number of at least 0, received {value!r}")
        self._scheduled().resume(value)

    def _scheduled(self) -> Scheduled:
        if self._schedule is None:
            raise AttributeError(f"{self!r} has no schedule; attach the rule with schedule=...")
        return self._schedule

    def remove(self) -> None:
        """Detach the rule; idempotent."""
        attached = self._attached()
        if attached is not None and not self._removed:
            attached.remove(self._place, self._bound)
        self._removed = True


def _nothing() -> None:
    """What the optimizer of a copied handle is."""


def attach(
    optimizer: Optimizer,
    bound: BoundTerms | BoundConstraint,
    place: Place,
    schedule: Callable[[int], float] | None = None,
    debug: bool = False,
) -> Handle:
    """Let `bound` act at every step; all checks come first, so that a failure changes nothing.

    Args:
        optimizer: a torch optimizer or a wrapper around one.
        bound: the bound rule.
        place: where in a step it acts.
        schedule: its scale as a function of the number of previous steps.
        debug: check the rule on copies of its weights before the first step.
    """
    *wrappers, optimizer = layers(optimizer, "attach")
    whole = optimizer
    if place == "proximal":
        optimizer = own_optimizer(optimizer)
    check_steps(optimizer)
    attached = attached_of(optimizer) or Attached()
    parts = parts_of(bound)
    for part in parts:
        if any(is_again(part, other) for other in attached.parts()):
            advice = "remove() its handle first" + ", or set its scale" * (place != "constraint")
            raise ValueError(f"attach: {part!r} is already attached to this {type(optimizer).__name__}; {advice}")
    here = [part for part in parts if owns(optimizer, part)]
    if not any(owns(whole, part) for part in parts):
        raise ValueError(
            f"attach: this {type(optimizer).__name__} owns none of the weights of {bound!r}; "
            "create it from the trainable parameters of the same model, after replacing or cutting any weights"
        )
    if schedule is not None and not callable(schedule):
        raise TypeError(f"attach: schedule must be a function of the number of steps, received {schedule!r}")
    if place != "constraint":
        check_penalty(optimizer)
        check_minimises(optimizer, here)
        if place == "proximal":
            check_step_size(optimizer)
            before = [term for other in attached.rules["proximal"] for term in parts_of(other)]
            proximal.check_terms(optimizer, [*before, *parts])
        _warn_of_weight_decay(optimizer, bound)
    attached.add(optimizer, place, bound, here, wrappers)
    handle = Handle(attached, place, bound, _unowned(whole, parts))
    if debug:
        attached.check_later(bound)
    if schedule is not None:
        try:
            handle.follow(schedule)
        except BaseException:
            handle.remove()
            raise
    return handle


def _unowned(optimizer: Optimizer, parts: Iterable[Any]) -> str:
    """A note on weights of a rule that the optimizer does not own."""
    owned = owned_by(optimizer)
    names = dict.fromkeys(name for part in parts for name, p in part.leaves() if id(p) not in owned)
    return f"; {type(optimizer).__name__} does not own {', '.join(names)}" if names else ""


def attached_of(optimizer: Optimizer) -> Attached | None:
    """The `Attached` of an optimizer, held by its hooks alone, so that both are freed together."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
    holders = (getattr(hook, "__self__", None) for hook in hooks)
    return next((holder for holder in holders if isinstance(holder, Attached)), None)


def attached_to(optimizer: Optimizer) -> list[BoundTerms | BoundConstraint]:
    """The rules attached to an optimizer, in the order in which they act."""
    attached = attached_of(bare(optimizer, "attached_to"))
    return [bound for place in attached.rules.values() for bound in place] if attached else []


def _warn_of_weight_decay(optimizer: Optimizer, bound: Any) -> None:
    decayed = {
        id(p)
        for g in optimizer.param_groups
        if g.get("weight_decay")
        for i, p in enumerate(g["params"])
        if i not in g.get("undecayed", ())  # excluded in an optimizer of regtorch.keras
    }
    twice = {name for _, term in bound.terms() if term.rule.active for name, p in term.leaves() if id(p) in decayed}
    if twice:
        names = ", ".join(sorted(twice)[:5]) + ", …" * (len(twice) > 5)
        warnings.warn(
            f"{bound!r} and the weight_decay of {type(optimizer).__name__} both act on {names}; "
            "set weight_decay=0 or exclude these weights from the penalty",
            stacklevel=4,
        )
