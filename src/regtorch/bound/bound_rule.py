"""The base class of rules bound to the weights of a module."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.bound.terms import Owned
from regtorch.masked import Masked
from regtorch.notebook import Shown, code, line
from regtorch.numerics.sharded import cut_again, is_flattened, is_sharded
from regtorch.select.language import Selection, choose
from regtorch.select.listing import in_html
from regtorch.select.places import Found, Places
from regtorch.select.weight import FLATTENED, Weight
from regtorch.steps.wrappers import owned_by

__all__ = ["Bound"]

_FLOAT32 = 4  # bytes


class Bound(Shown, ABC):
    """A rule on the weights of a module.

    It keeps the module and the weights' names and reads the tensors at every use, so it follows a state dict loaded
    with `assign=True`, a layer replaced by one of the same name, freezing and unfreezing. A deep copy of the module
    needs its own binding.

    Attributes:
        changes: which weights were unfrozen since binding and joined, and when this was noticed.
        counts: for masked weights, the number of elements under the mask.
    """

    rule: Any

    def __init__(self, rule: Any, model: nn.Module) -> None:
        self.rule = rule
        self.model = model
        self.changes: list[str] = []
        self.counts: dict[str, int] = {}
        cut_again(model)
        self._choose()
        for weight in self.selection.chosen:
            tensor = weight.read(model)
            if tensor.is_complex():
                raise TypeError(f"{rule.name}: the weight {weight.name!r} is complex ({tensor.dtype}); leave it out")
        self._check_units()
        if isinstance(rule, Masked):
            rule.check_names(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not {"_rules", "_dormant"} <= state.keys():  # pickled by an earlier version, which knew less
            type(self).__init__(self, state["rule"], state["model"])
            state = {name: value for name, value in state.items() if name == "_scale"}
        for name, value in state.items():
            setattr(self, name, value)

    def _choose(self) -> None:
        self.selection: Selection = choose(self.model, self.rule.select)
        self._chosen = Places(self.model, self.selection.chosen)
        self._dormant = Places(self.model, self.selection.dormant)

    def part_of(self, weight: Weight) -> Tensor | None:
        """The mask of a weight, in the layout that the rule receives; None if the rule has no masks."""
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
                    f"{self.rule!r}: the dim of the output units of the weight {weight.name!r} ({shape}) is unknown; "
                    f"{by_dim}leave it out with -name:{weight.name}"
                )

    def named_by(self, select: str) -> set[str]:
        """All names of the weights that `select` matches, including frozen ones."""
        found = choose(self.model, select)
        return {name for weight in (*found.chosen, *found.dormant) for name in weight.names}

    def units(self, weight: Weight, tensor: Tensor) -> Tensor:
        """A tensor in the layout that the rule receives: units first if the rule depends on units."""
        return weight.layout.units_first(tensor) if self.rule.by_unit else tensor

    def stored(self, weight: Weight, units: Tensor, like: Tensor) -> Tensor:
        """The inverse of `units`, to the layout and shape of `like`."""
        return weight.layout.stored(units, like.shape) if self.rule.by_unit else units

    def __repr__(self) -> str:
        names = ", ".join(w.name for w in self.selection.chosen)
        return f"{self.rule!r} on {names}"

    def _repr_html_(self) -> str:
        return line(code(repr(self.rule))) + in_html(self.selection.chosen, self.selection.left_out)

    def now(self) -> Selection:
        """The selection with current shapes, minus the weights frozen since binding."""
        weights = list(self.weights())  # updates the selection
        return replace(self.selection, chosen=tuple(replace(w, shape=t.shape) for w, t in weights))

    def choose_again(self, when: str = "when the rule was next used", optimizer: Optimizer | None = None) -> None:
        """Add matching weights that were unfrozen since the last selection; `when` is for the receipt."""
        if not self._dormant.weights or not any(w.leaves_in(owner) for w, owner, _ in self._dormant.now()):
            return
        before = {weight.name for weight in self.selection.chosen}
        self._choose()
        self._check_units()
        joined = [weight for weight in self.selection.chosen if weight.name not in before]
        change = f"{', '.join(weight.name for weight in joined) or 'no weight'} joined, unfrozen, "
        if any(known.startswith(change) for known in self.changes):  # weights that are frozen in turns, as in GANs
            return
        foreign: list[str] = []
        if optimizer is not None:
            owned = owned_by(optimizer)
            foreign = [w.name for w in joined if owned.isdisjoint(map(id, w.leaves(self.model)))]
        left_out = f", which does not own {', '.join(foreign)}: add_param_group" if foreign else ""
        self.changes.append(change + when + left_out)

    def weights(self, owned: Owned = None) -> Iterator[tuple[Weight, Tensor]]:
        """The chosen weights as they are now, minus those that are frozen or not in `owned`; tied ones once."""
        self.choose_again()
        for weight, owner, parameter in self._chosen.now():
            tensor = weight.read_in(owner, self.model) if parameter is None else parameter
            if is_flattened(tensor) or tensor.ndim != len(weight.shape):
                raise self._changed(weight, tensor)
            if tensor.requires_grad and isinstance(tensor, nn.Parameter):
                if owned is None or id(tensor) in owned:
                    yield weight, tensor
            elif any(owned is None or id(p) in owned for p in weight.leaves_in(owner)):
                yield weight, tensor

    def _as_kept(self, owned: Owned = None) -> list[tuple[Weight, Tensor]]:
        """`weights`, in the precision in which processes keep them: FSDP2 may leave whole ones in `param_dtype`."""
        weights = list(self.weights(owned))
        rounded = any(t.dtype.itemsize < _FLOAT32 and not is_sharded(t) for _, t in weights)
        return list(self.weights(owned)) if rounded and cut_again(self.model) else weights

    def _changed(self, weight: Weight, tensor: Tensor) -> LookupError:
        sharded = is_flattened(tensor)
        what = "sharded by FSDP" if sharded else "given another number of dims"
        advice = FLATTENED if sharded else "bind the rule again"
        return LookupError(f"the weight {weight.name!r} was {what} since {self.rule!r} was bound to it; {advice}")

    def leaves(self, *, frozen: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters behind the chosen weights, with the weights' names; with `frozen` also frozen ones."""
        for weight, owner, _ in chain(self._chosen.now(), self._dormant.now() if frozen else ()):
            for parameter in weight.leaves_in(owner, frozen):
                yield weight.name, parameter

    def found(self) -> Found:
        """Where the chosen weights lie now, frozen ones too; the same object as long as none was replaced."""
        return self._chosen.now()

    def parameters(self) -> Iterator[tuple[str, int, nn.Parameter]]:
        """All parameters behind the chosen weights, frozen ones too: the weight's name, which one, the parameter."""
        for weight, owner, parameter in self._chosen.now():
            if parameter is not None:
                yield weight.name, 0, parameter
            else:
                for place, leaf in enumerate(weight.leaves_in(owner, frozen=True)):
                    yield weight.name, place, leaf
