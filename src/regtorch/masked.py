"""Rules on a part of each weight, told by a mask."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.penalties import Penalty
from regtorch.penalties.part import Around
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.base import Bound

__all__ = ["Masked", "MaskedConstraint", "MaskedPenalty", "masked"]

Masks = Mapping[str, Tensor] | Tensor


@overload
def masked(rule: Penalty, masks: Masks) -> MaskedPenalty: ...
@overload
def masked(rule: Constraint, masks: Masks) -> MaskedConstraint: ...
def masked(rule: Penalty | Constraint, masks: Masks) -> MaskedPenalty | MaskedConstraint:
    """The rule on a part of each weight: where a mask is True. The other numbers are left alone, to the bit.

    The rule sees the weight as if the other numbers were not there: 0 stands in their place (w₀ in that of `L2SP` and
    `EWC`). A unit's norm is that of its masked numbers, and `GroupLasso` keeps the √fan_in of whole units;
    `TotalVariation` compares neighbours that are both masked. Value, gradient, proximal step, projection and violation
    are those of the part. `NuclearNorm` (its proximal step) and `SpectralMax` need a mask that is True for some rows
    times some columns.

    Args:
        rule: any penalty or constraint of weights.
        masks: a bool tensor for each weight, by the model's names and in the shapes of the weights, which then are the
            ones that it acts on, among those that the rule's `select` names; or one for all that `select` names, and
            for the rule as a function. Masks of biases need `select="all"` in the rule. They are copied at binding.

    Raises:
        TypeError: `rule` is neither a penalty nor a constraint, or has masks already; a mask is not a tensor of bools.
        ValueError: `masks` is empty; at binding: a mask has another shape than its weight, or `select` names no weight
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
        raise TypeError(f"masked: {rule!r} has masks already; give one mask for each weight, first & second")
    if isinstance(rule, Penalty):
        return MaskedPenalty(rule, masks)
    if isinstance(rule, Constraint):
        return MaskedConstraint(rule, masks)
    raise TypeError(f"masked: rule must be a penalty or a constraint of weights, received {rule!r}")


class Masked:
    """What masked penalties and constraints share: the masks, by the names of weights."""

    rule: Any
    masks: Masks

    def __repr__(self) -> str:
        of = ", ".join(self.masks) if isinstance(self.masks, Mapping) else f"a mask of shape {tuple(self.masks.shape)}"
        return f"masked({self.rule!r}, <{of}>)"

    def mask_of(self, names: Sequence[str], shape: torch.Size) -> Bool[Tensor, "*shape"]:
        """A copy of the mask of one weight, given under any of its names.

        Raises:
            ValueError: there is none, there are several, or it has another shape.
        """
        given = [self.masks[n] for n in names if n in self.masks] if isinstance(self.masks, Mapping) else [self.masks]
        if len(given) != 1:
            raise ValueError(f"masked: masks must hold one for the weight {' = '.join(names)}, received {len(given)}")
        mask = given[0]
        if mask.shape != shape:
            raise ValueError(
                f"masked: the mask of {names[0]!r} must have the weight's shape {tuple(shape)}, received "
                f"{tuple(mask.shape)}"
            )
        return mask.detach().clone()

    def _check(self, masks: object, select: str) -> str:
        """The selection that names what there are masks for."""
        by_name = masks if isinstance(masks, Mapping) else {"": masks}
        if not by_name:
            raise ValueError("masked: masks is empty; give a bool tensor for each weight, by the model's names")
        for name, mask in by_name.items():
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                what = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
                of = f"the mask of {name!r}" if name else "masks"
                raise TypeError(f"masked: {of} must be a tensor of bools, received {what}; compare, as in mask > 0")
        if not isinstance(masks, Mapping) or not all(one.split() for one in select.split("|")):
            return select  # which is refused at binding, where an alternative is empty
        return "|".join(f"{one.strip()} name:{glob.escape(name)}" for one in select.split("|") for name in masks)

    def check_names(self, bound: Bound) -> None:
        """Refuse masks that would act on nothing, perhaps by a slip."""
        weights = (*bound.selection.chosen, *bound.selection.dormant)
        known = {name for weight in weights for name in weight.names}
        if isinstance(self.masks, Mapping):  # `largest` counts among all weights, not among those with a mask
            known &= bound.named_by(self.rule.select)
        idle = [name for name in self.masks if name not in known] if isinstance(self.masks, Mapping) else []
        idle = [name for name in idle if f"-name:{name}" not in bound.rule.select]  # left out on purpose
        if idle:
            raise ValueError(
                f"masked: select {self.rule.select!r} names no weight {idle[0]!r}, for which there is a mask; it names "
                f"{', '.join(sorted(known))} of those with one"
            )

    def _own(self, w: Tensor) -> Tensor:
        """The one mask, for the rule as a function."""
        if isinstance(self.masks, Mapping):
            raise TypeError("masked: bind it with .on(model), or give one mask instead of a dict to use it on a tensor")
        return self.mask_of(["w"], w.shape)


class MaskedPenalty(Masked, Around):
    """A penalty of a part of each weight; made by `masked`."""

    def __init__(self, rule: Penalty, masks: Masks) -> None:
        super().__init__(rule)
        self._set(masks=masks, select=self._check(masks, rule.select))

    def for_weight(self, name: str, w: Float[Tensor, "*shape"]) -> Penalty:
        """The penalty of the part of one weight, whose mask is the only one."""
        return self.rule.for_weight(name, w).within(self._own(w))

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value of the part."""
        return self.rule.within(self._own(w))(w)

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The gradient of the part, 0 elsewhere."""
        return self.rule.within(self._own(w)).grad(w)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The proximal step of the part.

        Raises:
            TypeError: the rule has none.
        """
        return (self.rule.within(self._own(w)) if self.rule.has_prox else self.rule).prox(w, step)


class MaskedConstraint(Masked, Constraint):
    """A constraint on a part of each weight; made by `masked`."""

    rule: Constraint

    def __init__(self, rule: Constraint, masks: Masks) -> None:
        self._set(rule=rule, masks=masks, select=self._check(masks, rule.select))

    @property
    def by_unit(self) -> bool:
        """As of the rule inside."""
        return self.rule.by_unit

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The part brought into the set."""
        return self.rule.within(self._own(w))(w)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same, written into `w`."""
        return self.rule.within(self._own(w)).project_(w)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of the part of a unit from the set."""
        return self.rule.within(self._own(w)).violation(w)
