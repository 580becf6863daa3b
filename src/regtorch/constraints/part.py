"""A constraint on a part of a weight: on the numbers where a mask is True."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from regtorch.constraints.base import Constraint
from regtorch.constraints.norms import NormConstraint
from regtorch.numerics.norms import as_rows, check_shape, is_submatrix, reduced
from regtorch.shapes import Float

__all__ = ["Part"]


class Part(Constraint):
    """The rule as if all other numbers were not there; they stay what they are."""

    rule: Constraint
    mask: Tensor

    def __init__(self, rule: Constraint, mask: Tensor) -> None:
        if rule.mixes and not is_submatrix(mask):
            raise ValueError(
                f"{rule.name} projects the rows and columns of a matrix: let its mask be True for some rows times some "
                "columns"
            )
        self._set(rule=rule, mask=mask, select=rule.select)

    def __repr__(self) -> str:
        return f"{self.rule!r} where a mask is True"

    @property
    def by_unit(self) -> bool:
        """As of the rule inside."""
        return self.rule.by_unit

    def _seen(self, w: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(self.rule.name, w, "mask", self.mask)
        mask = self.mask.to(w.device)
        return torch.where(mask, w, self.rule.neutral), mask

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The part brought into the set."""
        seen, mask = self._seen(w)
        return torch.where(mask, self.rule(seen), w)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of the part of a unit from the set."""
        seen, mask = self._seen(w)
        if not isinstance(self.rule, NormConstraint):
            return self.rule.violation(seen)
        dims = reduced(self.name, w, self.rule.dim)  # a unit without a part has no norm that could be wrong
        return replace(self.rule, dim=-1).violation(as_rows(seen, dims)[as_rows(mask, dims).any(-1)])
