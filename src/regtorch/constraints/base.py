"""The base class of constraints: a set of weights, a map into it, and the distance from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from regtorch.rule import Rule
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.constraint import BoundConstraint

__all__ = ["ROUNDING", "Constraint"]


# The rounding error of a norm or sum, in units in the last place, after scaling its unit to it.
ROUNDING = {torch.float32: 16, torch.float64: 64}


class Constraint(Rule):
    """A set of weights and a map into it.

    A subclass needs `__call__` (out of place) and `violation`, and may add `project_`, the same in place.
    """

    mixes: ClassVar[bool] = False
    """Whether the map mixes rows and columns of a matrix, so that a mask must select a submatrix."""

    @abstractmethod
    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Map `w` into the set: out of place, idempotent, the identity inside the set.

        Raises:
            TypeError: `w` is not a real floating-point tensor.
        """

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same in place; override it to avoid a copy of the weight."""
        return w.copy_(self(w))

    @abstractmethod
    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of a unit of `w` from the set; 0 inside."""

    @property
    def by_unit(self) -> bool:
        """Whether the set depends on output units, so that weights are passed units first."""
        return False

    @property
    def neutral(self) -> float:
        """The value put in place of masked-out elements, which must not affect the others."""
        return 0.0

    def within(self, mask: Bool[Tensor, "*shape"]) -> Constraint:
        """The same constraint on the elements where `mask`, in the layout of `__call__`, is True.

        Raises:
            ValueError: there is no projection for such a mask.
        """
        from regtorch.constraints.part import (
            ConstraintPart,  # itself a constraint: a top-level import would be circular
        )

        return ConstraintPart(self, mask)

    def on(self, model: nn.Module) -> BoundConstraint:
        """Bind this constraint to the weights of `model` that `select` matches; weights unfrozen later join.

        Raises:
            SelectionError: `select` is invalid or matches nothing; the message lists the names that exist.
        """
        from regtorch.bound.constraint import BoundConstraint  # a convenience: bound/ is a floor above

        return BoundConstraint(self, model)
