"""What a constraint is: a set of weights, the way into it, and the distance from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from regtorch.rule import Rule
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.penalty import BoundConstraint

__all__ = ["ROUNDING", "Constraint"]


# By how many units in the last place a norm or a sum differs after its unit was scaled to it.
ROUNDING = {torch.float32: 16, torch.float64: 64}


class Constraint(Rule):
    """A set of weights and the way into it.

    A subclass gives `__call__` (pure) and `violation`, and may give `project_`, the same in place.
    """

    mixes: ClassVar[bool] = False
    """Whether it mixes the rows and columns of a matrix, so that it knows no part but some of both."""

    @abstractmethod
    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`w` brought into the set: pure, idempotent, the identity inside it.

        Raises:
            TypeError: `w` does not hold real floating-point numbers.
        """

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same, written into `w`; overridden where that needs no copy of the weight."""
        return w.copy_(self(w))

    @abstractmethod
    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of a unit of `w` from the set; 0 inside."""

    @property
    def by_unit(self) -> bool:
        """Whether output units matter, so that a weight must be read units first."""
        return False

    @property
    def neutral(self) -> float:
        """What stands where a mask leaves numbers out: a number that changes nothing for the others."""
        return 0.0

    def within(self, mask: Bool[Tensor, "*shape"]) -> Constraint:
        """The same constraint on the numbers where `mask`, laid out as `__call__` gets a weight, is True.

        Raises:
            ValueError: there is no projection of such a part.
        """
        from regtorch.constraints.part import Part  # which is a constraint itself

        return Part(self, mask)

    def on(self, model: nn.Module) -> BoundConstraint:
        """Bind this constraint to the weights of `model` that `select` names; those unfrozen later join.

        Raises:
            SelectionError: `select` is not understood or matches nothing; the names there are follow.
        """
        from regtorch.bound.penalty import BoundConstraint  # the one step up: a convenience, as Penalty.on

        return BoundConstraint(self, model)
