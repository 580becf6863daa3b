"""What one pass does to a weight: the optimizer's update, then its rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.numerics.sharded import is_sharded
from regtorch.select.layout import Layout
from regtorch.steps.one_pass.updates import STEP, Update
from regtorch.steps.optimizers import knows_step_size

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["Part", "Recipe", "factors", "recipes"]

_DEVICE = "cpu"  # elsewhere the number of steps is not at hand without waiting for the device
_MEASURED = (torch.float32, torch.float64)  # norms are of the numbers that are stored, which others would round
_FEW = 1 << 18  # numbers of a weight, of which a pass may keep a copy


@dataclass(frozen=True)
class Part:
    """A rule of one weight.

    Attributes:
        factor: the number of its factor among those of all terms; -1 for a constraint.
        rule: its formula.
        layout: of the weight.
    """

    factor: int
    rule: Any
    layout: Layout

    def units(self, w: Tensor) -> Tensor:
        """A tensor in the layout that the rule receives."""
        return self.layout.units_first(w) if self.rule.by_unit else w

    def stored(self, u: Tensor, like: Tensor) -> Tensor:
        """The inverse of `units`."""
        return self.layout.stored(u, like.shape) if self.rule.by_unit else u

    @property
    def name(self) -> str:
        """The name of its factor."""
        return f"rule {self.factor}"

    @property
    def key(self) -> tuple[object, ...]:
        """What a compiled pass depends on."""
        return self.factor, id(self.rule), self.layout


@dataclass
class Recipe:
    """A weight, the number of its param group, the names of the tensors in its state, and its rules by place.

    Attributes:
        outside: places whose rules act after the pass, as they do after any step.
    """

    p: nn.Parameter
    group: int
    states: tuple[str, ...]
    parts: dict[Place, list[Part]] = field(default_factory=lambda: {"gradient": [], "proximal": [], "constraint": []})
    outside: set[Place] = field(default_factory=set)

    @property
    def moved(self) -> tuple[str, ...]:
        """The names of the tensors that a pass moves: all but the one that counts steps."""
        return tuple(name for name in self.states if name != STEP)

    @property
    def key(self) -> tuple[object, ...]:
        """What a compiled pass depends on, besides the weight, its gradient and its state."""
        return self.group, self.states, *((place, p.key) for place, parts in self.parts.items() for p in parts)

    def add(self, place: Place, number: int, rule: Any, layout: Layout) -> bool:
        """Add a rule; False if no pass can take a weight with it."""
        by_norm = rule.by_norm and self.p.dtype in _MEASURED
        if place == "gradient":
            if not (by_norm or rule.grain == "element"):
                return False
        elif not self._has_place(place, rule, layout, by_norm):
            self._leave(place)
        if place not in self.outside:
            self.parts[place].append(Part(number, rule, layout))
        return True

    def _has_place(self, place: Place, rule: Any, layout: Layout, by_norm: bool) -> bool:
        """Whether a proximal step or a constraint can be part of the pass.

        Rows are still in cache when their norms are known; other units of a large weight would need a copy of it. Norms
        of float32 are summed in float64; those of float64 may have to be scaled and summed again, which compiles for
        minutes, as do proximal steps by norms, which iterate where each element has a step size.
        """
        if rule.grain == "element":
            return place == "constraint" or not self.parts["proximal"]
        rows = self.p.is_contiguous() and rule.by_unit and layout.units_first(self.p) is self.p
        fits = by_norm and self.p.dtype == torch.float32 and (rows or self.p.numel() <= _FEW)
        return place == "constraint" and fits

    def _leave(self, place: Place) -> None:
        """Leave a place's rules, and those that act later, for after the pass."""
        for later in ("proximal", "constraint") if place == "proximal" else ("constraint",):
            self.outside.add(later)
            self.parts[later].clear()


def recipes(optimizer: Optimizer, update: Update, rules: Mapping[Place, Sequence[Any]]) -> list[Recipe]:
    """The weights that one pass can take, with their rules; factors are numbered as `factors` gives them."""
    # The pass takes the update's own step size; somebody may have registered another.
    own = knows_step_size(optimizer) or not rules["proximal"]
    after: tuple[Place, ...] = () if own else ("proximal", "constraint")
    shared = _sharing(optimizer)
    found = {
        id(p): Recipe(p, index, states, outside=set(after))
        for index, group in enumerate(optimizer.param_groups)
        if update.fits(optimizer, group)
        for states in [update.states(group)]
        for p in group["params"]
        if _fits(p, group, optimizer.state.get(p, {}), states) and id(p) not in shared
    }
    number = 0
    for place, bounds in rules.items():
        for bound in bounds:
            for term in [term for _, term in bound.terms()] if place != "constraint" else [bound]:
                _add(found, place, -1 if place == "constraint" else number, term)
                number += place != "constraint"
    return list(found.values())


def _sharing(optimizer: Optimizer) -> set[int]:
    """The ids of weights that share memory with another, or their states do: they must be stepped in turn."""
    places: list[tuple[int, int, int]] = []
    for p in (p for group in optimizer.param_groups for p in group["params"]):
        for t in (p, *optimizer.state.get(p, {}).values()):
            if isinstance(t, Tensor) and t.layout is torch.strided and t.device.type == _DEVICE and not is_sharded(t):
                last = sum((size - 1) * stride for size, stride in zip(t.shape, t.stride(), strict=True))
                places.append((t.data_ptr(), t.data_ptr() + (last + 1) * t.itemsize, id(p)))
    places.sort()
    shared: set[int] = set()
    end, owner = 0, 0  # of what reaches furthest so far
    for first, after, key in places:
        if first < end:
            shared |= {owner, key}
        if after > end:
            end, owner = after, key
    return shared


def factors(rules: Mapping[Place, Sequence[Any]]) -> list[float]:
    """The factor of each penalty, in the order in which `recipes` numbers them."""
    return [factor for place in ("gradient", "proximal") for bound in rules[place] for factor, _ in bound.terms()]


def _add(found: dict[int, Recipe], place: Place, number: int, term: Any) -> None:
    """Add a rule to the weights that it acts on; a weight with a rule that no pass can take is left out."""
    if place != "constraint" and not term.rule.active:
        return
    for weight, w in term.weights(found.keys()):
        recipe = found.get(id(w))
        if recipe is None or not recipe.add(place, number, term.rule_of(weight), weight.layout):
            for p in weight.leaves(term.model):
                found.pop(id(p), None)


def _fits(p: nn.Parameter, group: Mapping[str, Any], state: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a pass can step this weight: an ordinary dense one that its optimizer has stepped before."""
    g = p.grad
    return (
        g is not None
        and p.requires_grad
        and p.numel() > 0
        and p.is_floating_point()
        and p.device.type == _DEVICE
        and not (is_sharded(p) or g.layout != torch.strided or p.layout != torch.strided)
        and g.dtype == p.dtype
        and g.device == p.device
        and 0 not in g.stride()
        and not (group.get("maximize") or group.get("differentiable") or group.get("capturable"))
        and all(isinstance(state.get(name), Tensor) for name in names)
        and (STEP not in names or _is_plain_number(state[STEP]))
    )


def _is_plain_number(t: Tensor) -> bool:
    return type(t) is Tensor and t.ndim == 0 and t.device.type == _DEVICE and t.dtype in (torch.float32, torch.float64)
