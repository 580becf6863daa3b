"""A constraint bound to a module: violations and projections."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.bound_rule import Bound
from regtorch.bound.terms import Owned, on_one_device
from regtorch.constraints import Constraint
from regtorch.masked import MaskedConstraint
from regtorch.numerics.sharded import cut_again, is_sharded, own_part
from regtorch.rule import wide
from regtorch.select.receipt import UNKNOWN, Receipt, known, receipt
from regtorch.select.weight import Weight
from regtorch.shapes import Float
from regtorch.steps import hooks
from regtorch.steps.shares import of_share, share_of

__all__ = ["BoundConstraint"]


class BoundConstraint(Bound):
    """A constraint on the weights of a module, created by `constraint.on(model)`."""

    rule: Constraint

    def __init__(self, rule: Constraint, model: nn.Module) -> None:
        super().__init__(rule, model)
        self._rules: dict[str, Constraint] = {}
        for weight, tensor in self.weights():
            if not isinstance(tensor, nn.Parameter):
                raise self._computed(weight)
        self.violation()  # raises now, not at the first step, if an argument does not fit a weight

    def rule_of(self, weight: Weight) -> Constraint:
        """The constraint on one weight."""
        if weight.name not in self._rules:
            mask = self.part_of(weight)
            inside = self.rule.rule if isinstance(self.rule, MaskedConstraint) else self.rule
            self._rules[weight.name] = inside if mask is None else inside.within(mask)
        return self._rules[weight.name]

    def project_(self) -> None:
        """Project every chosen weight in place."""
        cut_again(self.model)
        self.project_owned()

    @torch.no_grad()
    def project_owned(self, owned: Owned = None, found_inf: Tensor | None = None) -> None:
        """Project the weights in `owned`.

        A nonzero `found_inf` means that a fused optimizer under a GradScaler has skipped the step: the weights stay.
        """
        for weight, tensor in self.weights(owned):
            if not isinstance(tensor, nn.Parameter):
                raise self._computed(weight)
            if tensor.is_meta:  # without values
                continue
            before = None if found_inf is None else tensor.clone()
            if is_sharded(tensor):
                tensor.copy_(self._projected_parts(weight, tensor))
            elif self.rule.by_unit and not weight.layout.is_view:  # units first is a copy there
                tensor.copy_(self._projected(weight, tensor))
            else:
                self.rule_of(weight).project_(self.units(weight, tensor))
            if found_inf is not None and before is not None:
                tensor.copy_(torch.where(found_inf.to(tensor.device) == 0, tensor, before))

    def _projected(self, weight: Weight, tensor: Tensor) -> Tensor:
        return self.stored(weight, self.rule_of(weight)(self.units(weight, tensor)), tensor)

    def _projected_parts(self, weight: Weight, tensor: Tensor) -> Tensor:
        rule = self.rule_of(weight)
        share = share_of(weight, tensor, [rule])
        part = share.of(tensor)
        new = of_share(rule, weight, tensor, share)(self.units(weight, part))
        return share.back(self.stored(weight, new, part))

    def _computed(self, weight: Weight) -> TypeError:
        return TypeError(
            f"{self.rule.name}: the weight {weight.name!r} is computed by a parametrization and cannot be "
            f"projected; leave it out with -name:{weight.name} or remove the parametrization"
        )

    @torch.no_grad()
    def by_weight(self) -> dict[str, Float[Tensor, ""]]:
        """The violation of each chosen weight: its distance from the set."""
        return {weight.name: self._violation(weight, tensor) for weight, tensor in self._as_kept()}

    def _violation(self, weight: Weight, tensor: Tensor) -> Tensor:
        rule = self.rule_of(weight)
        if tensor.is_meta and self.rule.mixes:  # without values
            return wide(own_part(tensor)).sum()
        if not is_sharded(tensor):
            return rule.violation(self.units(weight, tensor))
        share = share_of(weight, tensor, [rule])
        return share.max(of_share(rule, weight, tensor, share).violation(self.units(weight, share.of(tensor))))

    def violation(self) -> Float[Tensor, ""]:
        """The largest distance of any unit of any chosen weight from the set; 0 if all are inside."""
        values = on_one_device(list(self.by_weight().values()))
        return torch.stack(values).max() if values else torch.zeros(())

    def attach(self, optimizer: Optimizer, *, debug: bool = False) -> hooks.Handle:
        """Project after every `optimizer.step()`, on the weights that this optimizer owns.

        Args:
            optimizer: any torch optimizer, or a wrapper around one.
            debug: before the first step, run `rt.testing.check_constraint` on copies of the weights; the step raises an
                AssertionError with a counter-example if the check fails.

        Raises:
            TypeError: not a torch optimizer.
            ValueError: the optimizer owns none of the weights, or has this rule already.
        """
        return hooks.attach(optimizer, self, "constraint", debug=debug)

    def receipt(self) -> Receipt:
        """The chosen weights with their violations, and the weights left out with the reasons."""
        found = self.by_weight()
        values = known(found)
        total = f"outside the set by at most {max(values.values(), default=0.0):.4g}"
        if len(values) < len(found):
            total = UNKNOWN
        by_weight = {name: f"{value:.4g}" for name, value in values.items()}
        return receipt(repr(self.rule), self.now(), total, by_weight, self.changes, self.rule.by_unit, self.counts)
