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
from torch import Tensor
from torch.optim import LBFGS, Optimizer, SparseAdam

from regtorch import proximal
from regtorch.lending import Lender

if TYPE_CHECKING:
    from regtorch.bind import BoundConstraint
    from regtorch.terms import BoundTerms, Term

__all__ = ["Handle", "attach", "attached_to", "bare", "owned_by"]

Place = Literal["gradient", "proximal", "constraint"]


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


def attach(
    optimizer: Optimizer, bound: BoundTerms | BoundConstraint, place: Place, parts: Sequence[Term | BoundConstraint]
) -> Handle:
    """Let `bound`, made of `parts`, act at every step; checks come first, so that a failure leaves nothing behind.

    Raises:
        TypeError: not a torch optimizer, a penalty that cannot act this way, or an optimizer without a known step size.
        ValueError: the optimizer owns none of the weights, has this rule already, or maximises.
    """
    optimizer = bare(optimizer, "attach")
    attached = _ATTACHED.get(optimizer) or _Attached()
    owned = owned_by(optimizer)
    for part in parts:
        if any(part.rule == other.rule and part.model is other.model for other in attached.parts()):
            or_scale = "" if place == "constraint" else ", or set its scale"
            raise ValueError(
                f"attach: {part!r} is attached to this {type(optimizer).__name__} already; remove() its handle first"
                f"{or_scale}"
            )
        if not any(id(p) in owned for _, p in part.leaves()):
            raise ValueError(
                f"attach: this {type(optimizer).__name__} owns none of the weights of {part!r}; "
                "build the optimizer from the same model's trainable parameters, after any replacement of its weights"
            )
    if place != "constraint":
        _check_penalty(optimizer)
        if place == "proximal":
            _check_proximal(optimizer, bound, attached)
        _warn_of_weight_decay(optimizer, bound)
    attached.add(optimizer, place, bound)
    _ATTACHED[optimizer] = attached
    return Handle(attached, place, bound)


class _Attached:
    """The rules of one optimizer."""

    def __init__(self) -> None:
        self.rules: dict[Place, list[Any]] = {"gradient": [], "proximal": [], "constraint": []}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._lender = Lender()

    def parts(self) -> Iterator[Term | BoundConstraint]:
        """Every single rule, sums taken apart."""
        for bound in [*self.rules["gradient"], *self.rules["proximal"]]:
            yield from (term for _, term in bound.terms())
        yield from self.rules["constraint"]

    def add(self, optimizer: Optimizer, place: Place, bound: BoundTerms | BoundConstraint) -> None:
        self.rules[place].append(bound)
        if not self._hooks:
            self._hooks = [
                optimizer.register_step_pre_hook(self.before_step),
                optimizer.register_step_post_hook(self.after_step),
                # A step that raises has no post-hook.
                optimizer.register_state_dict_pre_hook(lambda _: self._lender.take_back()),
            ]

    def remove(self, place: Place, bound: BoundTerms | BoundConstraint) -> None:
        self._lender.take_back()
        self.rules[place] = [other for other in self.rules[place] if other is not bound]
        if not any(self.rules.values()):
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Add the gradients: now, or after each run of the closure, which makes new ones."""
        self._lender.take_back()
        if not self.rules["gradient"]:
            return None
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._add_gradients(optimizer)
            return None
        wrapped = self._wrap(optimizer, closure)
        if "closure" in kwargs:
            return args, {**kwargs, "closure": wrapped}
        return (*args[:1], wrapped, *args[2:]), kwargs

    def _wrap(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        def with_penalty() -> Any:
            loss = closure()
            if _left_out(loss, optimizer):
                return loss
            owned = self._add_gradients(optimizer)
            if not isinstance(optimizer, LBFGS):
                return loss
            with torch.no_grad():  # LBFGS compares losses, so it must see the sum whose gradient it sees
                terms = [pair for bound in self.rules["gradient"] for pair in bound.terms()]
                return loss + sum(v for factor, term in terms for v in term.values(factor, owned).values())

        return with_penalty

    @torch.no_grad()
    def _add_gradients(self, optimizer: Optimizer) -> set[int]:
        # A fused optimizer unscales inside its step, so under a GradScaler gradients are still scaled here.
        grad_scale: Tensor | None = getattr(optimizer, "grad_scale", None)
        owned = owned_by(optimizer)
        suits = self._lender.suits(optimizer)
        lent: dict[int, float] = {}
        for bound in self.rules["gradient"]:
            for factor, term in bound.terms():
                decays = term.decays(factor, owned) if suits else {}
                for key, decay in decays.items():
                    lent[key] = lent.get(key, 0.0) + decay
                if grad_scale is not None and factor:
                    factor = factor * grad_scale
                if not (term.add_grad_to(factor, owned - decays.keys()) or decays):
                    raise _lost(optimizer, term)
        if lent:
            self._lender.lend(optimizer, lent)
        return owned

    @torch.no_grad()
    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Proximal steps first, then projections."""
        self._lender.take_back()
        if not (self.rules["proximal"] or self.rules["constraint"]):
            return
        owned = owned_by(optimizer)
        for bound in self.rules["proximal"]:
            for factor, term in bound.terms():
                if not proximal.apply(optimizer, term, factor):
                    raise _lost(optimizer, term)
        for bound in self.rules["constraint"]:
            if not bound.project_owned(owned, getattr(optimizer, "found_inf", None)):
                raise _lost(optimizer, bound)


def _lost(optimizer: Optimizer, part: Term | BoundConstraint) -> RuntimeError:
    return RuntimeError(
        f"{part!r} finds none of its weights in this {type(optimizer).__name__} any more: they were "
        "replaced (load_state_dict(assign=True)?); build the optimizer anew and attach again"
    )


_ATTACHED: WeakKeyDictionary[Optimizer, _Attached] = WeakKeyDictionary()


def attached_to(optimizer: Optimizer) -> list[BoundTerms | BoundConstraint]:
    """The rules that act at an optimizer's steps, in the order in which they do."""
    attached = _ATTACHED.get(bare(optimizer, "attached_to"))
    return [bound for place in attached.rules.values() for bound in place] if attached else []


def bare(optimizer: object, who: str) -> Optimizer:
    """The torch optimizer inside wrappers such as Lightning's and Accelerate's.

    Raises:
        TypeError: there is none; `who` asked.
    """
    inner: Any = optimizer
    while (deeper := getattr(inner, "optimizer", None)) is not None:
        inner = deeper
    if not isinstance(inner, Optimizer):
        raise TypeError(f"{who}: optimizer must be a torch.optim.Optimizer, received {type(optimizer).__name__}")
    return inner


def owned_by(optimizer: Optimizer) -> set[int]:
    """The ids of the parameters that an optimizer steps."""
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _left_out(loss: Any, optimizer: Optimizer) -> bool:
    """Whether a closure passed over its batch, as Lightning's where training_step returns None."""
    return loss is None and all(p.grad is None for group in optimizer.param_groups for p in group["params"])


def _check_penalty(optimizer: Optimizer) -> None:
    if isinstance(optimizer, SparseAdam):
        raise TypeError(
            "attach: SparseAdam takes sparse gradients only, and a penalty's gradient is dense; use SGD or Adagrad"
        )
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise ValueError(
            f"attach: this {type(optimizer).__name__} has maximize=True and would make the penalty grow; "
            "minimise the negative instead"
        )


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


def _check_proximal(optimizer: Optimizer, bound: Any, attached: _Attached) -> None:
    proximal.check(optimizer)
    taken: dict[int, Term] = {}
    for other in attached.rules["proximal"]:
        for _, term in other.terms():
            taken |= {id(p): term for _, p in term.leaves()}
    for _, term in bound.terms():
        proximal.check_term(term)
        for name, p in term.leaves():
            if id(p) in taken:
                raise ValueError(
                    f"attach: two proximal steps on {name!r} are not the proximal step of their sum; "
                    "use L1L2, or attach one of them without proximal=True"
                )
            taken[id(p)] = term
