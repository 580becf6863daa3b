"""Rules at every optimizer step: gradients before it, proximal steps and then projections after it.

One pre-hook and one post-hook an optimizer, so that the order does not depend on the order of attaching. Hooks live on
the optimizer object: `copy.deepcopy(optimizer)` and pickling drop them, as they drop every hook of torch's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from regtorch import proximal, step_sizes
from regtorch.held import HeldGradients
from regtorch.lending import lends_decay, used, view_with_decay
from regtorch.unstepped import Watch
from regtorch.unwrap import bare, check_penalty, check_steps, owned_by

if TYPE_CHECKING:
    from regtorch.bind import BoundConstraint
    from regtorch.terms import BoundTerms, Term

__all__ = ["Handle", "attach", "attached_to", "bare", "owned_by"]

Place = Literal["gradient", "proximal", "constraint"]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Handle:
    """Takes a rule off an optimizer again."""

    def __init__(self, attached: _Attached, place: Place, bound: BoundTerms | BoundConstraint) -> None:
        self._attached = ref(attached)
        self._place: Place = place
        self._bound = bound
        self._removed = False

    def __repr__(self) -> str:
        return f"Handle({self._bound!r}{', removed' * self._removed})"

    def remove(self) -> None:
        """Detach the rule; doing so twice changes nothing."""
        attached = self._attached()
        if attached is not None and not self._removed:
            attached.remove(self._place, self._bound)
        self._removed = True


def attach(optimizer: Optimizer, bound: BoundTerms | BoundConstraint, place: Place) -> Handle:
    """Let `bound` act at every step; all checks come first, so that a failure leaves nothing behind.

    Args:
        optimizer: a torch optimizer or what wraps one.
        bound: what acts.
        place: where in a step.

    Raises:
        TypeError: not a torch optimizer or one without step hooks, a penalty that cannot act this way, or an optimizer
            without a known step size.
        ValueError: the optimizer owns none of the weights, has this rule already, or maximises.
    """
    optimizer = bare(optimizer, "attach")
    check_steps(optimizer)
    attached = _ATTACHED.get(optimizer) or _Attached()
    parts = _parts(bound)
    for part in parts:
        if any(part.rule == other.rule and part.model is other.model for other in attached.parts()):
            or_scale = "" if place == "constraint" else ", or set its scale"
            raise ValueError(
                f"attach: {part!r} is attached to this {type(optimizer).__name__} already; remove() its handle first"
                f"{or_scale}"
            )
    here = [part for part in parts if _owns(optimizer, part)]
    if not here:
        raise ValueError(
            f"attach: this {type(optimizer).__name__} owns none of the weights of {bound!r}; "
            "build the optimizer from the same model's trainable parameters, after any replacement of its weights"
        )
    if place != "constraint":
        check_penalty(optimizer)
        if place == "proximal":
            step_sizes.check(optimizer)
            before = [term for other in attached.rules["proximal"] for term in _parts(other)]
            proximal.check_terms([*before, *parts])
        _warn_of_weight_decay(optimizer, bound)
    attached.add(optimizer, place, bound, here)
    _ATTACHED[optimizer] = attached
    return Handle(attached, place, bound)


def _parts(bound: Any) -> list[Any]:
    """The single rules: a sum's terms, or the rule itself."""
    return [term for _, term in bound.terms()] if hasattr(bound, "terms") else [bound]


class _Attached:
    """The rules of one optimizer."""

    steps_of_all = 0  # of every optimizer with rules

    def __init__(self) -> None:
        self.rules: dict[Place, list[Any]] = {"gradient": [], "proximal": [], "constraint": []}
        self.steps = 0
        self.stepped = False
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._found: set[int] = set()  # ids of the parts that once found a weight here, and must again
        self._held = HeldGradients()
        self._view: Optimizer | None = None
        self._watch: Watch | None = None

    def parts(self) -> Iterator[Term | BoundConstraint]:
        """Every single rule, sums taken apart."""
        return (part for place in self.rules.values() for bound in place for part in _parts(bound))

    def add(
        self,
        optimizer: Optimizer,
        place: Place,
        bound: BoundTerms | BoundConstraint,
        here: Sequence[Term | BoundConstraint],
    ) -> None:
        """Put a rule in its place; `here` are its parts that find weights in the optimizer now."""
        if not self._hooks:
            before = optimizer.register_step_pre_hook(self.before_step)
            self._hooks = [before, optimizer.register_step_post_hook(self.after_step)]
        if not self.stepped and self._watch is None:
            self._watch = self._watch_for_steps(optimizer, bound, here)
        self.rules[place].append(bound)
        self._found |= {id(part) for part in here}

    def remove(self, place: Place, bound: BoundTerms | BoundConstraint) -> None:
        """Take a rule out, and the hooks with the last one."""
        self.rules[place] = [other for other in self.rules[place] if other is not bound]
        self._found &= {id(part) for part in self.parts()}
        if not any(self.rules.values()):
            for hook in self._hooks:
                hook.remove()
            self._hooks = []
            if self._watch is not None:
                self._watch.stop()
                self._watch = None

    def _watch_for_steps(self, optimizer: Optimizer, bound: Any, here: Sequence[Any]) -> Watch | None:
        owned = owned_by(optimizer)
        leaves = [p for part in here for _, p in part.leaves() if id(p) in owned and p.numel()]
        if not leaves:
            return None
        message = (
            f"{bound!r} has not acted: its weights move, but no step() of the {type(optimizer).__name__} that it is "
            "attached to was called; attach it to the optimizer that takes the steps, or use way 1, loss + reg()"
        )
        smallest: nn.Parameter = min(leaves, key=lambda p: p.numel())
        return Watch(smallest, message, lambda: self.stepped, lambda: _Attached.steps_of_all)

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        """Add the gradients: now, or after each run of the closure, which makes new ones."""
        self.stepped = True
        if not torch.compiler.is_compiling():  # a number that changes would compile every step anew
            self.steps += 1
            _Attached.steps_of_all += 1
            for part in self.parts():
                part.choose_again(f"at step {self.steps} of {type(optimizer).__name__}")
        self._view = None
        if not self.rules["gradient"]:
            return None
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        decays: dict[int, float] = {}
        if closure is None:
            self._add_gradients(optimizer, decays, self._held.of(optimizer))
            if len(decays) < len(owned_by(optimizer)):
                self._held.note(optimizer)
        else:
            closure = self._wrap(optimizer, closure, decays)
        if lends_decay(optimizer) and (decays or closure is not None):
            self._view = view_with_decay(optimizer, decays)
        elif closure is None:
            return None
        first = optimizer if self._view is None else self._view
        if closure is not None and "closure" not in kwargs:
            return (first, closure, *args[2:]), kwargs
        return (first, *args[1:]), kwargs if closure is None else {**kwargs, "closure": closure}

    def _wrap(self, optimizer: Optimizer, closure: Callable[[], Any], decays: dict[int, float]) -> Callable[[], Any]:
        def with_penalty() -> Any:
            loss = closure()
            decays.clear()
            if _left_out(loss, optimizer):
                return loss
            owned = self._add_gradients(optimizer, decays, set())
            if not isinstance(optimizer, LBFGS):
                return loss
            with torch.no_grad():  # LBFGS compares losses, so it must see the sum whose gradient it sees
                terms = [pair for bound in self.rules["gradient"] for pair in bound.terms()]
                return loss + sum(v for factor, term in terms for v in term.values(factor, owned).values())

        return with_penalty

    @torch.no_grad()
    def _add_gradients(self, optimizer: Optimizer, decays: dict[int, float], held: set[int]) -> set[int]:
        """Add every penalty's gradient, but to those who hold it already; what is left to weight_decay: to `decays`."""
        # A fused optimizer unscales inside its step, so under a GradScaler gradients are still scaled here.
        grad_scale: Tensor | None = getattr(optimizer, "grad_scale", None)
        owned = owned_by(optimizer)
        lends = lends_decay(optimizer)
        for bound in self.rules["gradient"]:
            for factor, term in bound.terms():
                lent = term.decays(factor, owned) if lends else {}
                for key, decay in lent.items():
                    decays[key] = decays.get(key, 0.0) + decay
                if grad_scale is not None and factor:
                    factor = factor * grad_scale
                found = term.add_grad_to(factor, owned - lent.keys() - held)
                self._check_found(optimizer, term, found or bool(lent or held))
        return owned

    def _check_found(self, optimizer: Optimizer, part: Term | BoundConstraint, found: bool) -> None:
        if found:
            self._found.add(id(part))
        elif id(part) in self._found and not _owns(optimizer, part):
            raise RuntimeError(
                f"{part!r} finds none of its weights in this {type(optimizer).__name__} any more: they were "
                "replaced (load_state_dict(assign=True)?); build the optimizer anew and attach again"
            )

    @torch.no_grad()
    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Proximal steps first, then projections."""
        self._held.clear()
        if self._view is not None and not used(self._view):
            raise RuntimeError(
                f"a step pre-hook of this {type(optimizer).__name__} replaced the arguments of the step, so that the "
                "penalty did not act; let it return the arguments it was given, changed where need be"
            )
        self._view = None
        if not (self.rules["proximal"] or self.rules["constraint"]):
            return
        owned = owned_by(optimizer)
        pairs = [pair for bound in self.rules["proximal"] for pair in bound.terms()]
        for _, term in pairs:
            self._check_found(optimizer, term, _acts_on(term, None) <= _acts_on(term, owned))
        if pairs:
            proximal.apply(optimizer, pairs)
        for bound in self.rules["constraint"]:
            done = bound.project_owned(owned, getattr(optimizer, "found_inf", None))
            self._check_found(optimizer, bound, done)


_ATTACHED: WeakKeyDictionary[Optimizer, _Attached] = WeakKeyDictionary()


def attached_to(optimizer: Optimizer) -> list[BoundTerms | BoundConstraint]:
    """The rules that act at an optimizer's steps, in the order in which they do."""
    attached = _ATTACHED.get(bare(optimizer, "attached_to"))
    return [bound for place in attached.rules.values() for bound in place] if attached else []


def _owns(optimizer: Optimizer, part: Any) -> bool:
    """Whether an optimizer has a weight on which a rule acts, or would if it were not frozen."""
    owned = owned_by(optimizer)
    return any(id(p) in owned for _, p in part.leaves(frozen=True))


def _acts_on(term: Term, owned: set[int] | None) -> bool:
    return any(True for _ in term.weights(owned))


def _left_out(loss: Any, optimizer: Optimizer) -> bool:
    """Whether a closure skipped its batch, as Lightning's where training_step returns None."""
    return loss is None and all(p.grad is None for group in optimizer.param_groups for p in group["params"])


def _warn_of_weight_decay(optimizer: Optimizer, bound: Any) -> None:
    decayed = {id(p) for g in optimizer.param_groups if g.get("weight_decay") for p in g["params"]}
    twice = {name for _, term in bound.terms() if term.rule.active for name, p in term.leaves() if id(p) in decayed}
    if twice:
        names = ", ".join(sorted(twice)[:5]) + ", …" * (len(twice) > 5)
        warnings.warn(
            f"{bound!r} acts beside the {type(optimizer).__name__}'s own weight_decay on {names}: "
            "both shrink these weights; set weight_decay=0 or leave them out of the penalty",
            stacklevel=4,
        )
