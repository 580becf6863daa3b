"""How the processes that hold a sharded weight share the work of rules on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from regtorch.numerics.sharded import Share
from regtorch.penalties import Penalty
from regtorch.rule import Grain, Rule
from regtorch.select.layout import Layout
from regtorch.select.weight import Weight

__all__ = ["of_share", "share_of"]


def share_of(weight: Weight, tensor: Tensor, rules: Sequence[Any]) -> Share:
    """The smallest parts of a sharded weight on which all of the rules can act: elements, units or the full weight."""
    grains = {_grain(rule) for rule in rules}
    if grains <= {"element"}:
        return Share(tensor, ())
    dims = {_unit_dims(rule, weight.layout, tensor.ndim) for rule in rules if _grain(rule) == "unit"}
    units = next(iter(dims)) if len(dims) == 1 and "weight" not in grains else ()
    if not units:
        return Share(tensor, None)
    return Share(tensor, [d for d in range(tensor.ndim) if d not in units], units[0])


def of_share(rule: Any, weight: Weight, tensor: Tensor, share: Share) -> Any:
    """The rule for this process's share of a weight."""
    if not rule.by_unit:
        return rule.of_part(share.of)
    layout = weight.layout
    part: Callable[[Tensor], Tensor] = lambda t: layout.units_first(share.of(layout.stored(t, tensor.shape)))  # noqa: E731
    return rule.of_part(part)


def _grain(rule: Any) -> Grain:
    inside = getattr(rule, "rule", rule)
    depends = getattr(type(inside), "for_weight", Penalty.for_weight) is not Penalty.for_weight
    return "weight" if depends and type(inside).of_part is Rule.of_part else rule.grain


def _unit_dims(rule: Any, layout: Layout, ndim: int) -> tuple[int, ...]:
    """The dims of a weight whose indices name a unit; none if its units are not along dims."""
    dim = getattr(getattr(rule, "rule", rule), "dim", None)
    if ndim < 2 or (dim is None and layout.groups):
        return ()
    if dim is None:
        return layout.dims or ()
    inside = {d % ndim for d in ([dim] if isinstance(dim, int) else dim)}
    return tuple(d for d in range(ndim) if d not in inside)
