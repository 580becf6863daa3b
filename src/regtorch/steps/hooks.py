"""Rules at every optimizer step: gradients before it, proximal steps and then projections after it.

One pre-hook and one post-hook an optimizer, so that the order does not depend on the order of attaching. Hooks live on
the optimizer object: `copy.deepcopy(optimizer)` and pickling drop them, as they drop every hook of torch's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import ref

from torch.optim import Optimizer

from regtorch.rule import Rule
from regtorch.steps import proximal
from regtorch.steps.attached import Attached, Moving, Place, owns, parts_of
from regtorch.steps.optimizers import check_step_size
from regtorch.steps.wrappers import bare, check_minimises, check_penalty, check_steps, layers, owned_by

if TYPE_CHECKING:
    from regtorch.bound.penalty import BoundConstraint
    from regtorch.bound.terms import BoundTerms

__all__ = ["Handle", "attach", "attached_to", "bare", "owned_by"]


class Handle:
    """Takes a rule off an optimizer again."""

    def __init__(
        self, attached: Attached, place: Place, bound: BoundTerms | BoundConstraint, strangers: str = ""
    ) -> None:
        self._attached = ref(attached)
        self._place: Place = place
        self._bound = bound
        self._strangers = strangers
        self._removed = False
        self._moving: Moving | None = None

    def __repr__(self) -> str:
        how = ", by proximal steps" if self._place == "proximal" else ""
        how += f", schedule={self._moving.schedule!r}" if self._moving is not None else ""
        return f"Handle({self._bound!r}{how}{self._strangers}{', removed' * self._removed})"

    def follow(self, schedule: Callable[[int], float]) -> None:
        """Let a schedule set the rule's scale before every step."""
        attached = self._attached()
        if attached is not None:
            bound: Any = self._bound
            self._moving = attached.move(bound, schedule)

    @property
    def steps(self) -> int:
        """The number of steps for which a schedule was asked; set it where a training goes on.

        Raises:
            AttributeError: the rule was attached without a schedule.
            TypeError: set to what is not a whole number, or the schedule gives no number there.
            ValueError: the schedule gives a negative, infinite or NaN one there.
        """
        return self._scheduled().steps

    @steps.setter
    def steps(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise TypeError(f"steps must be a whole number of at least 0, received {value!r}")
        self._scheduled().go_on(value)

    def _scheduled(self) -> Moving:
        if self._moving is None:
            raise AttributeError(f"{self!r} has no schedule; attach the rule with schedule=...")
        return self._moving

    def remove(self) -> None:
        """Detach the rule; doing so twice changes nothing."""
        attached = self._attached()
        if attached is not None and not self._removed:
            attached.remove(self._place, self._bound)
        self._removed = True


def attach(
    optimizer: Optimizer,
    bound: BoundTerms | BoundConstraint,
    place: Place,
    schedule: Callable[[int], float] | None = None,
    debug: bool = False,
) -> Handle:
    """Let `bound` act at every step; all checks come first, so that a failure leaves nothing behind.

    Args:
        optimizer: a torch optimizer or what wraps one.
        bound: what acts.
        place: where in a step.
        schedule: gives the bound rule's scale for a number of steps made.
        debug: try the rule on copies of its weights before the first step.

    Raises:
        TypeError: not a torch optimizer or one without step hooks, a penalty that cannot act this way, or an optimizer
            without a known step size.
        ValueError: the optimizer owns none of the weights, has this rule already, or maximises.
    """
    *wrappers, optimizer = layers(optimizer, "attach")
    check_steps(optimizer)
    attached = _attached(optimizer) or Attached()
    parts = parts_of(bound)
    for part in parts:
        if any(part.model is other.model and Rule.__eq__(part.rule, other.rule) for other in attached.parts()):
            or_scale = "" if place == "constraint" else ", or set its scale"
            raise ValueError(
                f"attach: {part!r} is attached to this {type(optimizer).__name__} already; remove() its handle first"
                f"{or_scale}"
            )
    here = [part for part in parts if owns(optimizer, part)]
    if not here:
        raise ValueError(
            f"attach: this {type(optimizer).__name__} owns none of the weights of {bound!r}; "
            "build the optimizer from the same model's trainable parameters, after any replacement of its weights"
        )
    if schedule is not None and not callable(schedule):
        raise TypeError(f"attach: schedule must be a function of the number of steps made, received {schedule!r}")
    if place != "constraint":
        check_penalty(optimizer)
        check_minimises(optimizer, here)
        if place == "proximal":
            check_step_size(optimizer)
            before = [term for other in attached.rules["proximal"] for term in parts_of(other)]
            proximal.check_terms(optimizer, [*before, *parts])
        _warn_of_weight_decay(optimizer, bound)
    attached.add(optimizer, place, bound, here, wrappers)
    handle = Handle(attached, place, bound, _strangers(optimizer, parts))
    if debug:
        attached.try_later(bound)
    if schedule is not None:
        try:
            handle.follow(schedule)
        except BaseException:
            handle.remove()
            raise
    return handle


def _strangers(optimizer: Optimizer, parts: Iterable[Any]) -> str:
    """The weights among a rule's that the optimizer does not own, and on which another one must act."""
    owned = owned_by(optimizer)
    names = dict.fromkeys(name for part in parts for name, p in part.leaves() if id(p) not in owned)
    return f"; {type(optimizer).__name__} does not own {', '.join(names)}" if names else ""


def _attached(optimizer: Optimizer) -> Attached | None:
    """What its own hooks hold, so that rules go with it, however they, their net and the optimizer hold each other."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
    holders = (getattr(hook, "__self__", None) for hook in hooks)
    return next((holder for holder in holders if isinstance(holder, Attached)), None)


def attached_to(optimizer: Optimizer) -> list[BoundTerms | BoundConstraint]:
    """The rules that act at an optimizer's steps, in the order in which they do."""
    attached = _attached(bare(optimizer, "attached_to"))
    return [bound for place in attached.rules.values() for bound in place] if attached else []


def _warn_of_weight_decay(optimizer: Optimizer, bound: Any) -> None:
    decayed = {id(p) for g in optimizer.param_groups if g.get("weight_decay") for p in g["params"]}
    twice = {name for _, term in bound.terms() if term.rule.active for name, p in term.leaves() if id(p) in decayed}
    if twice:
        names = ", ".join(sorted(twice)[:5]) + ", …" * (len(twice) > 5)
        warnings.warn(
            f"{bound!r} acts beside {type(optimizer).__name__}'s own weight_decay on {names}: "
            "both pull at these weights; set weight_decay=0 or leave them out of the penalty",
            stacklevel=4,
        )
