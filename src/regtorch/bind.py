"""A rule on a module: its value, its gradient, its projection, and the receipt of what was chosen.

Three ways to the same gradient: (1) `loss + reg()`, (2) `reg.add_grad_()` after backward, (3) `reg.attach(optimizer)`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch import hooks
from regtorch.constraints import Constraint
from regtorch.gradients import accumulate_, add_many_
from regtorch.penalties import Elementwise, Penalty
from regtorch.receipt import receipt
from regtorch.select import Selection, choose
from regtorch.sharded import is_flattened, is_sharded, part_like, whole
from regtorch.terms import BoundSum, BoundTerms, Owned, Term
from regtorch.transforms import check_transforms
from regtorch.weights import FLATTENED, Weight

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Bound", "BoundConstraint", "BoundPenalty", "BoundSum", "BoundTerms"]


class Bound(ABC):
    """A rule on the weights of a module.

    The module and the weights' names are kept, the tensors are read again at every use: loading a state dict with
    `assign=True`, replacing a layer by one of the same name, freezing or unfreezing one is seen. A deep copy of the
    module needs a binding of its own.

    Attributes:
        changes: for each time that weights were unfrozen since binding, which joined and when that was seen.
    """

    rule: Any

    def __init__(self, rule: Penalty | Constraint, model: nn.Module) -> None:
        self.rule = rule
        self.model = model
        self.changes: list[str] = []
        self.selection: Selection = choose(model, rule.select)
        for weight in self.selection.chosen:
            tensor = weight.read(model)
            if tensor.is_complex():
                raise TypeError(f"{rule.name}: the weight {weight.name!r} is complex ({tensor.dtype}); leave it out")

        self._check_units()

    def _check_units(self) -> None:
        for weight in self.selection.chosen if self.rule.by_unit else ():
            if weight.layout.dims is None:
                shape = "×".join(map(str, weight.shape))
                by_dim = "name the dims of one unit by dim=..., or " * hasattr(self.rule, "dim")
                raise TypeError(
                    f"{self.rule!r}: which dim of the weight {weight.name!r} ({shape}) holds the output units is not "
                    f"known; {by_dim}leave it out with -name:{weight.name}"
                )

    def units(self, weight: Weight, tensor: Tensor) -> Tensor:
        """A tensor laid out as a weight with its units first, where the rule looks at units."""
        return weight.layout.units_first(tensor) if self.rule.by_unit else tensor

    def stored(self, weight: Weight, units: Tensor, like: Tensor) -> Tensor:
        """The way back, to the layout and shape of `like`."""
        return weight.layout.stored(units, like.shape) if self.rule.by_unit else units

    def __repr__(self) -> str:
        names = ", ".join(w.name for w in self.selection.chosen)
        return f"{self.rule!r} on {names}"

    def now(self) -> Selection:
        """The selection with the chosen weights' shapes as they are now, without those frozen by now."""
        weights = list(self.weights())  # chooses again where need be
        return replace(self.selection, chosen=tuple(replace(w, shape=t.shape) for w, t in weights))

    def choose_again(self, when: str = "when the rule was next used") -> None:
        """Take in weights that match, were frozen when they were chosen from, and are trainable now."""
        if not any(weight.leaves(self.model) for weight in self.selection.dormant):
            return
        before = {weight.name for weight in self.selection.chosen}
        self.selection = choose(self.model, self.rule.select)
        self._check_units()
        joined = ", ".join(weight.name for weight in self.selection.chosen if weight.name not in before)
        self.changes.append(f"{joined or 'no weight'} joined, unfrozen, {when}")

    def weights(self, owned: Owned = None) -> Iterator[tuple[Weight, Tensor]]:
        """The chosen weights as they are now, without those that are frozen by now or owned by another optimizer."""
        self.choose_again()
        for weight in self.selection.chosen:
            tensor = weight.read(self.model)
            if is_flattened(tensor) or tensor.ndim != len(weight.shape):
                raise self._changed(weight, tensor)
            if tensor.requires_grad and isinstance(tensor, nn.Parameter):
                if owned is None or id(tensor) in owned:
                    yield weight, tensor
            elif any(owned is None or id(p) in owned for p in weight.leaves(self.model)):
                yield weight, tensor

    def _changed(self, weight: Weight, tensor: Tensor) -> LookupError:
        sharded = is_flattened(tensor)
        what = "sharded by FSDP" if sharded else "given another number of dims"
        advice = FLATTENED if sharded else "bind the rule again"
        return LookupError(f"the weight {weight.name!r} was {what} since {self.rule!r} was bound to it; {advice}")

    def leaves(self, *, frozen: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters behind the chosen weights, with the weights' names.

        Args:
            frozen: those that match but are frozen, too.
        """
        for weight in (*self.selection.chosen, *(self.selection.dormant if frozen else ())):
            for parameter in weight.leaves(self.model, frozen):
                yield weight.name, parameter


class BoundPenalty(Bound, Term):
    """A penalty on the weights of a module; made by `penalty.on(model)`."""

    rule: Penalty

    def __init__(self, rule: Penalty, model: nn.Module) -> None:
        Bound.__init__(self, rule, model)
        Term.__init__(self)

    def names(self) -> list[str]:
        """The chosen weights' names."""
        return [weight.name for weight in self.selection.chosen]

    def values(self, factor: float, owned: Owned = None) -> dict[str, Tensor]:
        """The value of each weight on which it acts; none under a strength of 0."""
        if not (self.rule.active and factor):
            return {}
        weights = list(self.weights(owned))
        check_transforms(self, [tensor for _, tensor in weights])
        return {w.name: factor * self._value(w, tensor) for w, tensor in weights}

    def _value(self, weight: Weight, tensor: Tensor) -> Tensor:
        if isinstance(self.rule, Elementwise):
            return whole(self.rule(tensor))  # of a sharded weight: the sum of the processes' sums
        return self.rule(self.units(weight, whole(tensor)))

    @torch.no_grad()
    def grad(self, weight: Weight, tensor: Tensor) -> Tensor:
        """The closed-form gradient of one weight, in that weight's layout."""
        if is_sharded(tensor) and self.rule.by_unit:
            return part_like(self.grad(weight, whole(tensor)), tensor)
        return self.stored(weight, self.rule.grad(self.units(weight, tensor)), tensor)

    def add_grad_to(self, factor: float | Tensor, owned: Owned = None, foreach: bool | None = None) -> bool:
        """Many weights at once where the rule is elementwise and the gradients are plain; one by one otherwise."""
        if not self.rule.active or (not isinstance(factor, Tensor) and factor == 0):
            return True
        elementwise = self.rule if isinstance(self.rule, Elementwise) else None
        at_once: tuple[list[Tensor], list[Tensor]] = ([], [])
        none = True
        for weight, tensor in self.weights(owned):
            none = False
            if not isinstance(tensor, nn.Parameter):
                self._add_behind(weight, factor, owned)
                continue
            if tensor.grad is not None and not tensor.grad.is_sparse and 0 in tensor.grad.stride():
                tensor.grad = tensor.grad.contiguous()  # one number that stands for many cannot be added to
            if foreach is False or tensor.grad is None or tensor.grad.is_sparse or tensor.dtype == torch.float16:
                # In half precision operations on lists round the strength itself, a small one to 0.
                accumulate_(tensor, self.grad(weight, tensor).mul_(factor))
            elif elementwise and not isinstance(factor, Tensor):
                at_once[0].append(tensor)
                at_once[1].append(tensor.grad)
            elif not weight.layout.is_view or is_sharded(
                tensor
            ):  # units first is a copy there, to which adding is lost
                accumulate_(tensor, self.grad(weight, tensor).mul_(factor))
            else:
                self.rule.add_grad_(self.units(weight, tensor), self.units(weight, tensor.grad), factor)
        if elementwise and not isinstance(factor, Tensor) and at_once[0]:
            add_many_(*at_once, *elementwise.coefficients, factor)
        return not (none and any(True for _ in self.weights()))

    def decays(self, factor: float, owned: Owned) -> dict[int, float]:
        """Of L2 alone, and of weights that have a dense gradient: an optimizer leaves others out."""
        if not isinstance(self.rule, Elementwise) or self.rule.coefficients[0] or not (self.rule.active and factor):
            return {}
        decay = 2 * self.rule.coefficients[1] * factor
        weights = (w for _, w in self.weights(owned) if isinstance(w, nn.Parameter))
        return {id(w): decay for w in weights if _plain(w.grad)}

    def _add_behind(self, weight: Weight, factor: float | Tensor, owned: Owned) -> None:
        """Through the graph of a computed weight to the parameters behind it."""
        with torch.enable_grad():
            computed = weight.read(self.model)
        leaves = [p for p in weight.leaves(self.model) if owned is None or id(p) in owned]
        outer = self.grad(weight, computed.detach()).mul_(factor)
        for leaf, g in zip(leaves, torch.autograd.grad(computed, leaves, outer, allow_unused=True), strict=True):
            if g is not None:
                accumulate_(leaf, g)

    def describe(self, factor: float) -> str:
        """The receipt of this rule."""
        with torch.no_grad():
            values = {name: value.item() for name, value in self.values(factor).items()}
        total = f"penalty {sum(values.values()):.4g}" + (f" (scale {factor:g})" if factor != 1 else "")
        by_weight = {name: f"{value:.4g}" for name, value in values.items()}
        return receipt(repr(self.rule), self.now(), total, by_weight, self.changes, self.rule.by_unit)


class BoundConstraint(Bound):
    """A constraint on the weights of a module; made by `constraint.on(model)`."""

    rule: Constraint

    def __init__(self, rule: Constraint, model: nn.Module) -> None:
        super().__init__(rule, model)
        for weight, tensor in self.weights():
            if not isinstance(tensor, nn.Parameter):
                raise self._computed(weight)
        self.violation()  # an argument that does not fit a weight shows here, not in the first step

    def project_(self) -> None:
        """Bring every chosen weight into the set, in place."""
        self.project_owned()

    @torch.no_grad()
    def project_owned(self, owned: Owned = None, found_inf: Tensor | None = None) -> bool:
        """The same for the weights among `owned`; False where there are weights, but none of them is among `owned`.

        Where `found_inf`, which a fused optimizer has under a GradScaler, is not 0, the step was left out by the
        optimizer itself, and weights stay.
        """
        found = False
        for weight, tensor in self.weights(owned):
            found = True
            if not isinstance(tensor, nn.Parameter):
                raise self._computed(weight)
            before = None if found_inf is None else tensor.clone()
            if is_sharded(tensor):
                tensor.copy_(part_like(self._projected(weight, whole(tensor)), tensor))
            elif self.rule.by_unit and not weight.layout.is_view:  # units first is a copy there
                tensor.copy_(self._projected(weight, tensor))
            else:
                self.rule.project_(self.units(weight, tensor))
            if found_inf is not None and before is not None:
                tensor.copy_(torch.where(found_inf.to(tensor.device) == 0, tensor, before))
        return found or not any(True for _ in self.weights())

    def _projected(self, weight: Weight, tensor: Tensor) -> Tensor:
        return self.stored(weight, self.rule(self.units(weight, tensor)), tensor)

    def _computed(self, weight: Weight) -> TypeError:
        return TypeError(
            f"{self.rule.name}: the weight {weight.name!r} is computed by a parametrization and cannot be "
            f"projected; leave it out with -name:{weight.name} or remove the parametrization"
        )

    @torch.no_grad()
    def by_weight(self) -> dict[str, Float[Tensor, ""]]:
        """How far each chosen weight lies outside the set."""
        return {w.name: self.rule.violation(self.units(w, whole(tensor))) for w, tensor in self.weights()}

    def violation(self) -> Float[Tensor, ""]:
        """The largest distance of any unit of any chosen weight from the set; 0 when all lie inside."""
        values = list(self.by_weight().values())
        return torch.stack([v.to(values[0].device) for v in values]).max() if values else torch.zeros(())

    def attach(self, optimizer: Optimizer) -> hooks.Handle:
        """Project after every `optimizer.step()`, on the weights that this optimizer owns.

        Raises:
            TypeError: not a torch optimizer.
            ValueError: the optimizer owns none of the weights, or has this rule already.
        """
        return hooks.attach(optimizer, self, "constraint")

    def receipt(self) -> str:
        """What was chosen and how far it lies outside the set; what was not, and why."""
        values = {name: value.item() for name, value in self.by_weight().items()}
        total = f"outside by at most {max(values.values(), default=0.0):.4g}"
        by_weight = {name: f"{value:.4g}" for name, value in values.items()}
        return receipt(repr(self.rule), self.now(), total, by_weight, self.changes, self.rule.by_unit)


def _plain(grad: Tensor | None) -> bool:
    """Whether there is a gradient, dense, with memory of its own for each number."""
    return grad is not None and not grad.is_sparse and 0 not in grad.stride()
