"""A rule on a module: which weights it acts on now."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.terms import Owned
from regtorch.masked import Masked
from regtorch.numerics.sharded import is_flattened
from regtorch.select.language import Selection, choose
from regtorch.select.weight import FLATTENED, Weight
from regtorch.steps.wrappers import owned_by

__all__ = ["Bound"]


class Bound(ABC):
    """A rule on the weights of a module.

    The module and the weights' names are kept, the tensors are read again at every use: loading a state dict with
    `assign=True`, replacing a layer by one of the same name, freezing or unfreezing one is seen. A deep copy of the
    module needs a binding of its own.

    Attributes:
        changes: which weights were unfrozen since binding and joined, and when that was first seen.
        counts: of weights on a part of which the rule acts, how many numbers that part has.
    """

    rule: Any

    def __init__(self, rule: Any, model: nn.Module) -> None:
        self.rule = rule
        self.model = model
        self.changes: list[str] = []
        self.counts: dict[str, int] = {}
        self.selection: Selection = choose(model, rule.select)
        for weight in self.selection.chosen:
            tensor = weight.read(model)
            if tensor.is_complex():
                raise TypeError(f"{rule.name}: the weight {weight.name!r} is complex ({tensor.dtype}); leave it out")

        self._check_units()
        if isinstance(rule, Masked):
            rule.check_names(self)

    def part_of(self, weight: Weight) -> Tensor | None:
        """The mask of a weight, laid out as the rule reads the weight; None where the rule has no masks."""
        if not isinstance(self.rule, Masked):
            return None
        mask = self.rule.mask_of(weight.names, weight.shape)
        self.counts[weight.name] = int(mask.sum())
        return self.units(weight, mask)

    def _check_units(self) -> None:
        for weight in self.selection.chosen if self.rule.by_unit else ():
            if weight.layout.dims is None:
                shape = "×".join(map(str, weight.shape))
                by_dim = "name the dims of one unit by dim=..., or " * hasattr(self.rule, "dim")
                raise TypeError(
                    f"{self.rule!r}: which dim of the weight {weight.name!r} ({shape}) holds the output units is not "
                    f"known; {by_dim}leave it out with -name:{weight.name}"
                )

    def named_by(self, select: str) -> set[str]:
        """All names of the weights that `select` names in the module, frozen ones too."""
        found = choose(self.model, select)
        return {name for weight in (*found.chosen, *found.dormant) for name in weight.names}

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

    def choose_again(self, when: str = "when the rule was next used", optimizer: Optimizer | None = None) -> None:
        """Take in weights that match, were frozen when they were chosen from, and are trainable now.

        Args:
            when: for the receipt.
            optimizer: whose step it is.
        """
        if not any(weight.leaves(self.model) for weight in self.selection.dormant):
            return
        before = {weight.name for weight in self.selection.chosen}
        self.selection = choose(self.model, self.rule.select)
        self._check_units()
        joined = [weight for weight in self.selection.chosen if weight.name not in before]
        change = f"{', '.join(weight.name for weight in joined) or 'no weight'} joined, unfrozen, "
        if not any(told.startswith(change) for told in self.changes):  # once of those that are frozen in turn, as GANs'
            owned = None if optimizer is None else owned_by(optimizer)
            strangers = (
                [] if owned is None else [w.name for w in joined if owned.isdisjoint(map(id, w.leaves(self.model)))]
            )
            left_out = f", which does not own {', '.join(strangers)}: add_param_group" if strangers else ""
            self.changes.append(change + when + left_out)

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
