"""Rules on the masked part of each weight."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.numerics.sharded import full
from regtorch.penalties import Penalty
from regtorch.penalties.part import Around
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.bound_rule import Bound

__all__ = ["Masked", "MaskedConstraint", "MaskedPenalty", "masked"]

Masks = Mapping[str, Tensor] | Tensor


@overload
def masked(rule: Penalty, masks: Masks) -> MaskedPenalty: ...
@overload
def masked(rule: Constraint, masks: Masks) -> MaskedConstraint: ...
def masked(rule: Penalty | Constraint, masks: Masks) -> MaskedPenalty | MaskedConstraint:
    """The rule on the part of each weight where a mask is True. All other elements stay unchanged to the bit.

    Value, gradient, proximal step, projection and violation are those of the part; the rule sees 0 in place of all
    other elements (w₀ for `L2SP` and `EWC`). A unit's norm is that of its masked elements, but `GroupLasso` keeps the
    √fan_in of the full unit. `TotalVariation` compares neighbours that are both masked. `SpectralMax` and the proximal
    step of `NuclearNorm` need a mask that selects a submatrix, some rows times some columns.

    Args:
        rule: any penalty or constraint of weights.
        masks: a bool tensor for each weight, by the model's names and with the weights' shapes; the rule then acts on
            these weights, as far as its `select` matches them (for biases it must be "all"). Or one tensor for all
            weights that `select` matches, and for calling the rule on a tensor. Masks are copied at binding.

    Raises:
        TypeError: `rule` is neither a penalty nor a constraint, or is masked already; a mask is not a bool tensor.
        ValueError: `masks` is empty; at binding: a mask differs from its weight in shape, or `select` matches no weight
            of its name.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> upper = torch.ones(2, 3).triu(1) > 0
        >>> reg = rt.masked(rt.L1(0.1), {"weight": upper}).on(net)
        >>> bool(torch.isclose(reg(), 0.1 * net.weight[upper].abs().sum()))
        True
        >>> rt.masked(rt.NonNeg(), torch.tensor([True, False]))(torch.tensor([-1.0, -1.0]))
        tensor([ 0., -1.])
    """
    if isinstance(rule, Masked):
        raise TypeError(f"masked: {rule!r} is masked already; combine the masks, first & second")
    if isinstance(rule, Penalty):
        return MaskedPenalty(rule, masks)
    if isinstance(rule, Constraint):
        return MaskedConstraint(rule, masks)
    raise TypeError(f"masked: rule must be a penalty or a constraint of weights, received {rule!r}")


class Masked:
    """The base class of masked penalties and constraints."""

    rule: Any
    masks: Masks

    def __repr__(self) -> str:
        masks = self.masks
        shown = ", ".join(masks) if isinstance(masks, Mapping) else f"a mask of shape {tuple(masks.shape)}"
        return f"masked({self.rule!r}, <{shown}>)"

    def mask_of(self, names: Sequence[str], shape: torch.Size) -> Bool[Tensor, "*shape"]:
        """A copy of the mask of one weight, given under any of its names."""
        given = [self.masks[n] for n in names if n in self.masks] if isinstance(self.masks, Mapping) else [self.masks]
        if len(given) != 1:
            raise ValueError(f"masked: masks must hold one for the weight {' = '.join(names)}, received {len(given)}")
        mask = given[0]
        if mask.shape != shape:
            raise ValueError(
                f"masked: the mask of {names[0]!r} must have the weight's shape {tuple(shape)}, received "
                f"{tuple(mask.shape)}"
            )
        return full(mask.detach()).clone()

    def _check(self, masks: object, select: str) -> str:
        """`select` restricted to the weights with a mask, after checking the masks."""
        by_name = masks if isinstance(masks, Mapping) else {"": masks}
        if not by_name:
            raise ValueError("masked: masks is empty; give a bool tensor for each weight, by the model's names")
        for name, mask in by_name.items():
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                what = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
                argument = f"the mask of {name!r}" if name else "masks"
                raise TypeError(f"masked: {argument} must be a bool tensor, received {what}; compare, as in mask > 0")
        alternatives = select.split("|")
        if not isinstance(masks, Mapping) or not all(part.split() for part in alternatives):
            return select  # an empty alternative is refused at binding
        return "|".join(f"{part.strip()} name:{glob.escape(name)}" for part in alternatives for name in masks)

    def check_names(self, bound: Bound) -> None:
        """Refuse masks that act on no weight, such as misspelled names."""
        if not isinstance(self.masks, Mapping):
            return
        weights = (*bound.selection.chosen, *bound.selection.dormant)
        known = {name for weight in weights for name in weight.names}
        known &= bound.named_by(self.rule.select)  # `largest` counts all weights, not only those with a mask
        idle = [n for n in self.masks if n not in known and f"-name:{n}" not in bound.rule.select]
        if idle:
            raise ValueError(
                f"masked: masks must name weights that select {self.rule.select!r} matches, received {idle[0]!r}; "
                f"of the names in masks it matches {', '.join(sorted(known))}"
            )

    def _own(self, w: Tensor) -> Tensor:
        """The mask for calling the rule on a tensor."""
        if isinstance(self.masks, Mapping):
            raise TypeError("masked: bind it with .on(model), or give a single mask to call it on a tensor")
        return self.mask_of(["w"], w.shape)


class MaskedPenalty(Masked, Around):
    """A penalty on the masked part of each weight, created by `masked`."""

    def __init__(self, rule: Penalty, masks: Masks) -> None:
        super().__init__(rule)
        self._set(masks=masks, select=self._check(masks, rule.select))

    def for_weight(self, name: str, w: Float[Tensor, "*shape"]) -> Penalty:
        return self.rule.for_weight(name, w).within(self._own(w))

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        return self.rule.within(self._own(w))(w)

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.rule.within(self._own(w)).grad(w)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return (self.rule.within(self._own(w)) if self.rule.has_prox else self.rule).prox(w, step)


class MaskedConstraint(Masked, Constraint):
    """A constraint on the masked part of each weight, created by `masked`."""

    rule: Constraint

    def __init__(self, rule: Constraint, masks: Masks) -> None:
        self._set(rule=rule, masks=masks, select=self._check(masks, rule.select))

    @property
    def by_unit(self) -> bool:
        return self.rule.by_unit

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.rule.within(self._own(w))(w)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.rule.within(self._own(w)).project_(w)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        return self.rule.within(self._own(w)).violation(w)
