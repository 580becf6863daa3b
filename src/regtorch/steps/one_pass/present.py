"""What decides which weights a pass takes: as long as that stays equal, a prepared pass can be used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from regtorch.steps.one_pass.updates import Update
from regtorch.steps.optimizers import knows_step_size

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["present"]

_DECIDING = ("maximize", "differentiable", "capturable")
_NONE: Mapping[str, Any] = {}
Rules = Mapping["Place", Sequence[Any]]


class _Same:
    """Equal to what holds the very same object."""

    __slots__ = ("_held",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: object) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._held is other._held


def present(optimizer: Optimizer, update: Update, rules: Rules) -> tuple[object, ...]:
    """All that decides which weights a pass takes, but their kinds. They are told by their ids: keep them meanwhile."""
    groups = optimizer.param_groups
    settings = [
        (update.states(group), bool(group["weight_decay"]), [group.get(name) for name in (*update.flags, *_DECIDING)])
        for group in groups
    ]
    state = optimizer.state
    weights = [
        [
            (id(p), p.requires_grad, p.grad is None, list(map(type, state.get(p, _NONE).values())))
            for p in group["params"]
        ]
        for group in groups
    ]
    return knows_step_size(optimizer), settings, weights, list(_acting(rules))


def _acting(rules: Rules) -> Iterator[tuple[object, ...]]:
    for place, bounds in rules.items():
        for bound in bounds:
            for term in [term for _, term in bound.terms()] if place != "constraint" else [bound]:
                found = term.found()
                computed = [weight for weight, _, parameter in found if parameter is None]
                acting = [(weight, id(w)) for weight, w in term.weights()] if computed else _Same(found)
                yield place, term, term.rule, acting
