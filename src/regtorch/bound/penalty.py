"""A penalty bound to a module.

Three ways to the same gradient: (1) `loss + reg()`, (2) `reg.add_grad_()` after backward, (3) `reg.attach(optimizer)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from regtorch.bound.bound_rule import Bound
from regtorch.bound.terms import Owned, Term
from regtorch.bound.transforms import check_transforms
from regtorch.masked import MaskedPenalty
from regtorch.numerics.gradients import accumulate_
from regtorch.numerics.sharded import cut_again, full, is_sharded, own_part
from regtorch.penalties import Penalty
from regtorch.penalties.base import one_number
from regtorch.rule import wide
from regtorch.select.places import Found
from regtorch.select.receipt import UNKNOWN, known, receipt
from regtorch.select.weight import Weight
from regtorch.steps.lending import LEAST_LENT
from regtorch.steps.shares import of_share, share_of

__all__ = ["BoundPenalty"]


class BoundPenalty(Bound, Term):
    """A penalty on the weights of a module, created by `penalty.on(model)`."""

    rule: Penalty

    def __init__(self, rule: Penalty, model: nn.Module) -> None:
        Bound.__init__(self, rule, model)
        Term.__init__(self)
        self._rules: dict[str, Penalty] = {}
        self._together: Together | None = None
        for weight in self.selection.chosen:
            self.rule_of(weight)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_together": None}

    def names(self) -> list[str]:
        return [weight.name for weight in self.selection.chosen]

    def values(self, factor: float, owned: Owned = None) -> dict[str, Tensor]:
        if not (self.rule.active and factor):
            return {}
        weights = self._as_kept(owned)
        check_transforms(self, [tensor for _, tensor in weights])
        return {w.name: factor * self._value(w, tensor) for w, tensor in weights}

    def _value(self, weight: Weight, tensor: Tensor) -> Tensor:
        rule = self.rule_of(weight)
        if tensor.is_meta:  # without values
            return wide(own_part(tensor)).sum()
        if not is_sharded(tensor):
            return one_number(rule, rule(wide(self.units(weight, tensor))), weight.name)
        share = share_of(weight, tensor, [rule])
        value = of_share(rule, weight, tensor, share)(wide(self.units(weight, share.of(tensor))))
        return share.sum(one_number(rule, value, weight.name))

    def rule_of(self, weight: Weight) -> Penalty:
        """The penalty of one weight, created at binding."""
        if weight.name not in self._rules:
            mask = self.part_of(weight)
            rule = self.rule.rule if isinstance(self.rule, MaskedPenalty) else self.rule
            if type(rule).for_weight is not Penalty.for_weight:
                with torch.no_grad():
                    w = weight.read(self.model).detach()
                    cut = share_of(weight, w, [rule]).cuts if is_sharded(w) else False
                    w = w if cut and not rule.by_unit else self.units(weight, full(w))
                rule = rule.for_weight(weight.name, w)
            self._rules[weight.name] = rule if mask is None else rule.within(mask)
        return self._rules[weight.name]

    @torch.no_grad()
    def grad(self, weight: Weight, tensor: Tensor) -> Tensor:
        """The closed-form gradient of one weight, in that weight's layout."""
        if tensor.is_meta:  # without values
            return torch.empty_like(tensor)
        rule = self.rule_of(weight)
        if not is_sharded(tensor):
            return self.stored(weight, rule.grad(self.units(weight, tensor)), tensor)
        share = share_of(weight, tensor, [rule])
        part = share.of(tensor)
        g = of_share(rule, weight, tensor, share).grad(self.units(weight, part))
        return share.back(self.stored(weight, g, part))

    def add_grad_to(self, factor: float | Tensor, owned: Owned = None, foreach: bool | None = None) -> None:
        """Adds to many weights at once if rule and gradients allow it, otherwise one by one."""
        if not self.rule.active or (not isinstance(factor, Tensor) and factor == 0):
            return
        if owned is None:  # else the optimizer's step has looked
            cut_again(self.model)
        together = self._treated_together(owned)
        if together is not None and together.weights and foreach is not False and not isinstance(factor, Tensor):
            grads = [w.grad for w in together.weights]
            if all(map(_plain, grads)):
                self.rule.add_grads_(together.weights, cast("list[Tensor]", grads), factor)
                return
        at_once: tuple[list[Tensor], list[Tensor]] = ([], [])
        for weight, tensor in self.weights(owned):
            if not isinstance(tensor, nn.Parameter):
                self._add_behind(weight, factor, owned)
                continue
            if tensor.grad is not None and not tensor.grad.is_sparse and 0 in tensor.grad.stride():
                tensor.grad = tensor.grad.contiguous()  # expanded gradients cannot be written in place
            grad = tensor.grad
            if (
                foreach is False
                or tensor.is_meta
                or grad is None
                or not _takes_parts(grad, tensor)
                or tensor.dtype == torch.float16
            ):
                # In half precision, foreach operations would round a small strength to 0.
                accumulate_(tensor, self.grad(weight, tensor) * factor)
            elif not isinstance(factor, Tensor) and self._at_once(weight, tensor):
                at_once[0].append(own_part(tensor))
                at_once[1].append(own_part(grad))
            elif not weight.layout.is_view or is_sharded(tensor):  # units first is a copy there
                accumulate_(tensor, self.grad(weight, tensor) * factor)
            else:
                into = self.units(weight, grad)
                self.rule_of(weight).add_grad_(self.units(weight, tensor), into, factor)
        if at_once[0] and not isinstance(factor, Tensor):
            self.rule.add_grads_(*at_once, factor)

    def _at_once(self, weight: Weight, tensor: Tensor) -> bool:
        """Whether many weights, or this process's elements of them, can be treated together."""
        one_rule = not self.rule.by_unit and self.rule_of(weight) is self.rule
        return one_rule and (not is_sharded(tensor) or self.rule.grain == "element")

    def _treated_together(self, owned: Owned) -> Together | None:
        """All weights in `owned`, found once and again when one is replaced or frozen; None if not all can be."""
        if torch.compiler.is_compiling():  # which would guard all that this depends on
            return None
        self.choose_again()
        found, last = self.found(), self._together
        if last is None or not last.holds(found, owned):
            last = self._together = self._gather(found, owned)
        return last if last.all_can else None

    def _gather(self, found: Found, owned: Owned) -> Together:
        pairs = list(self.weights(owned))
        all_can = all(
            isinstance(w, nn.Parameter) and w.dtype != torch.float16 and not is_sharded(w) and self._at_once(weight, w)
            for weight, w in pairs
        )
        every = [p for *_, p in found if p is not None]
        all_can = all_can and len(every) == len(found)
        return Together(found, owned, every, [w.requires_grad for w in every], [w for _, w in pairs], all_can)

    def decays(self, factor: float, owned: Owned) -> dict[int, float]:
        """The equivalent weight_decay of each parameter by id, as far as there is one."""
        return self.lent(factor, owned)[0]

    def lent(self, factor: float, owned: Owned) -> tuple[dict[int, float], bool]:
        """Only for weights with a dense gradient, since optimizers skip all others."""
        decay = (self.rule.weight_decay or 0.0) * factor
        if not decay:
            return {}, True
        together = self._treated_together(owned)
        if together is not None and together.size < LEAST_LENT:
            return {}, True
        weights = [w for _, w in self.weights(owned)]
        found = {id(w): decay for w in weights if isinstance(w, nn.Parameter) and _plain(w.grad)}
        return found, len(found) < len(weights)

    def _add_behind(self, weight: Weight, factor: float | Tensor, owned: Owned) -> None:
        """Backpropagate to the parameters behind a computed weight."""
        with torch.enable_grad():
            computed = weight.read(self.model)
        leaves = [p for p in weight.leaves(self.model) if owned is None or id(p) in owned]
        outer = self.grad(weight, computed.detach()) * factor
        for leaf, g in zip(leaves, torch.autograd.grad(computed, leaves, outer, allow_unused=True), strict=True):
            if g is not None:
                accumulate_(leaf, g)

    def describe(self, factor: float) -> str:
        with torch.no_grad():
            found = self.values(factor)
        values = known(found)
        total = f"penalty {sum(values.values()):.4g}" + (f" (scale {factor:g})" if factor != 1 else "")
        if len(values) < len(found):
            total = UNKNOWN
        by_weight = {name: f"{value:.4g}" for name, value in values.items()}
        return receipt(repr(self.rule), self.now(), total, by_weight, self.changes, self.rule.by_unit, self.counts)


@dataclass(frozen=True)
class Together:
    """The weights that a rule treats at once, and what that depends on.

    Attributes:
        found: where the rule's weights lay.
        owned: the ids of the parameters that it was to act on.
        every: all parameters in `found`, frozen ones too.
        trainable: whether each of them was.
        weights: those that the rule acts on.
        all_can: whether they can be treated at once.
    """

    found: Found
    owned: Owned
    every: list[nn.Parameter]
    trainable: list[bool]
    weights: list[Tensor]
    all_can: bool

    def holds(self, found: Found, owned: Owned) -> bool:
        """Whether nothing was replaced, frozen or unfrozen."""
        return self.found is found and self.owned is owned and [p.requires_grad for p in self.every] == self.trainable

    @cached_property
    def size(self) -> int:
        """How many numbers they hold."""
        return sum(w.numel() for w in self.weights)


def _takes_parts(grad: Tensor, tensor: Tensor) -> bool:
    """Whether a gradient is dense and cut as the weight is."""
    return not grad.is_sparse and getattr(grad, "placements", None) == getattr(tensor, "placements", None)


def _plain(grad: Tensor | None) -> bool:
    """Whether there is a dense gradient that is not expanded."""
    return grad is not None and not grad.is_sparse and 0 not in grad.stride()
