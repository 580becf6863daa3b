"""What decides which weights a pass takes: as long as that stays equal, a prepared pass can be used again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from regtorch.steps.one_pass.updates import Update
from regtorch.steps.optimizers import knows_step_size

if TYPE_CHECKING:
    from regtorch.steps.attached import Place

__all__ = ["present"]

_DECIDING = ("maximize", "differentiable", "capturable")
_REQUIRES_GRAD = attrgetter("requires_grad")
Rules = Mapping["Place", Sequence[Any]]


class _Same:
    """Equal to what holds the very same objects in the same order."""

    __slots__ = ("_held",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Iterable[object]) -> None:
        self._held = list(held)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same) or len(self._held) != len(other._held):
            return False
        return all(map(is_, self._held, other._held))


def present(optimizer: Optimizer, update: Update, rules: Rules) -> tuple[object, ...]:
    """All that decides which weights a pass takes, but the kinds of tensors; it holds what it tells apart."""
    groups = optimizer.param_groups
    settings = [
        (
            update.fits(optimizer, group),
            update.states(group),
            bool(group["weight_decay"]),
            [group.get(name) for name in (*update.flags, *_DECIDING)],
            len(group["params"]),
        )
        for group in groups
    ]
    weights = [p for group in groups for p in group["params"]]
    rows = [row for row in optimizer.state.values() if isinstance(row, dict)]  # others are no weight's
    return (
        knows_step_size(optimizer),
        settings,
        _Same(weights),
        list(map(_REQUIRES_GRAD, weights)),
        [p.grad is None for p in weights],
        _Same(optimizer.state),
        list(chain.from_iterable(rows)),  # the names of the state's tensors
        _Same(chain.from_iterable(row.values() for row in rows)),
        list(_acting(rules)),
    )


def _acting(rules: Rules) -> Iterator[tuple[object, ...]]:
    for place, bounds in rules.items():
        for bound in bounds:
            for term in [term for _, term in bound.terms()] if place != "constraint" else [bound]:
                found = term.found()
                computed = [weight for weight, _, parameter in found if parameter is None]
                acting = [(weight, id(w)) for weight, w in term.weights()] if computed else _Same([found])
                yield place, term, term.rule, acting
