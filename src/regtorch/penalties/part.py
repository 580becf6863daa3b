"""A penalty on the masked part of a weight."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Self

import torch
from torch import Tensor

from regtorch.numerics.unit_norms import check_shape, is_submatrix
from regtorch.penalties.base import Penalty
from regtorch.rule import Grain
from regtorch.shapes import Float

__all__ = ["Around", "PenaltyPart"]


class Around(Penalty):
    """A penalty that wraps another one and forwards its properties."""

    rule: Penalty

    def __init__(self, rule: Penalty) -> None:
        self._set(rule=rule, select=rule.select)
        self._set(prox_keeps_signs=rule.prox_keeps_signs, one_step_size=rule.one_step_size, mixes=rule.mixes)

    @property
    def strengths(self) -> dict[str, float]:
        return self.rule.strengths

    def _around(self, rule: Penalty) -> Self:
        new = copy(self)
        new._set(rule=rule)
        return new

    def scaled(self, factor: float) -> Self:
        return self._around(self.rule.scaled(factor))

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        return [(self._around(rule), strength) for rule, strength in self.rule.of_strength_one()]

    @property
    def by_unit(self) -> bool:
        return self.rule.by_unit

    @property
    def has_prox(self) -> bool:
        return self.rule.has_prox


class PenaltyPart(Around):
    """The rule on the elements where `mask` is True; it sees its neutral value in place of the others."""

    mask: Tensor

    def __init__(self, rule: Penalty, mask: Tensor) -> None:
        super().__init__(rule)
        self._set(mask=mask)

    def __repr__(self) -> str:
        return f"{self.rule!r} where a mask is True"

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def has_prox(self) -> bool:
        return self.rule.has_prox and (not self.mixes or is_submatrix(self.mask))

    @property
    def grain(self) -> Grain:
        return self.rule.grain

    def of_part(self, part: Callable[[Tensor], Tensor]) -> Self:
        cut = self._around(self.rule.of_part(part))
        cut._set(mask=part(self.mask))
        return cut

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        raise TypeError(f"{self!r}: the strength that empties a part of a weight is unknown; use the rule without mask")

    def _seen(self, w: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(self.name, w, "mask", self.mask)
        mask, neutral = self.mask.to(w.device), self.rule.neutral
        return torch.where(mask, w, neutral.to(w.device) if isinstance(neutral, Tensor) else neutral), mask

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        return self.rule(self._seen(w)[0])

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        seen, mask = self._seen(w.detach())
        return torch.where(mask, self.rule.grad(seen).to(w.dtype), 0.0)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if self.rule.has_prox and not self.has_prox:
            raise ValueError(
                f"{self.name}: the mask must be True on a submatrix (some rows times some columns) for a proximal "
                "step; change the mask or attach it without proximal=True"
            )
        seen, mask = self._seen(w.detach())
        return torch.where(mask, self.rule.prox(seen, step).to(w.dtype), w.detach())
