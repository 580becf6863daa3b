"""A constraint on the masked part of a weight."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from regtorch.constraints.base import Constraint
from regtorch.constraints.norms import NormConstraint
from regtorch.numerics.unit_norms import as_rows, check_shape, is_submatrix, reduced
from regtorch.rule import Grain
from regtorch.shapes import Float

__all__ = ["ConstraintPart"]


class ConstraintPart(Constraint):
    """The rule on the elements where `mask` is True; all others stay unchanged."""

    rule: Constraint
    mask: Tensor

    def __init__(self, rule: Constraint, mask: Tensor) -> None:
        if rule.mixes and not is_submatrix(mask):
            raise ValueError(
                f"{rule.name}: the mask must be True on a submatrix (some rows times some columns); change the mask"
            )
        self._set(rule=rule, mask=mask, select=rule.select)

    def __repr__(self) -> str:
        return f"{self.rule!r} where a mask is True"

    @property
    def by_unit(self) -> bool:
        return self.rule.by_unit

    @property
    def grain(self) -> Grain:
        return self.rule.grain

    def of_part(self, part: Callable[[Tensor], Tensor]) -> Self:
        cut = copy(self)
        cut._set(mask=part(self.mask))
        return cut

    def _seen(self, w: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(self.rule.name, w, "mask", self.mask)
        mask = self.mask.to(w.device)
        return torch.where(mask, w, self.rule.neutral), mask

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        seen, mask = self._seen(w)
        return torch.where(mask, self.rule(seen), w)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        seen, mask = self._seen(w)
        if not isinstance(self.rule, NormConstraint):
            return self.rule.violation(seen)
        dims = reduced(self.name, w, self.rule.dim)  # fully masked-out units are skipped
        return replace(self.rule, dim=-1).violation(as_rows(seen, dims)[as_rows(mask, dims).any(-1)])
