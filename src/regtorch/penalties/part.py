"""A penalty of a part of a weight: of the numbers where a mask is True."""

from __future__ import annotations

from copy import copy
from typing import Self

import torch
from torch import Tensor

from regtorch.numerics.norms import check_shape, is_submatrix
from regtorch.penalties.base import Penalty
from regtorch.shapes import Float

__all__ = ["Around", "Part"]


class Around(Penalty):
    """What a penalty that holds another one shares with it."""

    rule: Penalty

    def __init__(self, rule: Penalty) -> None:
        self._set(rule=rule, select=rule.select)
        self._set(prox_keeps_signs=rule.prox_keeps_signs, one_step_size=rule.one_step_size, mixes=rule.mixes)

    @property
    def strengths(self) -> dict[str, float]:
        """Those of the rule inside."""
        return self.rule.strengths

    def _of(self, rule: Penalty) -> Self:
        made = copy(self)
        made._set(rule=rule)
        return made

    def scaled(self, factor: float) -> Self:
        """The rule inside, scaled.

        Raises:
            TypeError: it has no strengths.
        """
        return self._of(self.rule.scaled(factor))

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        """The parts of the rule inside.

        Raises:
            TypeError: it is not a strength times a formula.
        """
        return [(self._of(one), strength) for one, strength in self.rule.of_strength_one()]

    @property
    def by_unit(self) -> bool:
        """As of the rule inside."""
        return self.rule.by_unit

    @property
    def has_prox(self) -> bool:
        """As of the rule inside."""
        return self.rule.has_prox


class Part(Around):
    """The rule as if all other numbers were not there: it sees its neutral number in their place."""

    mask: Tensor

    def __init__(self, rule: Penalty, mask: Tensor) -> None:
        super().__init__(rule)
        self._set(mask=mask)

    def __repr__(self) -> str:
        return f"{self.rule!r} where a mask is True"

    @property
    def name(self) -> str:
        """That of the rule inside."""
        return self.rule.name

    @property
    def has_prox(self) -> bool:
        """Not of a rule that mixes rows and columns, unless the part is a matrix of some of both."""
        return self.rule.has_prox and (not self.mixes or is_submatrix(self.mask))

    def emptied_by(self, g: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """Not known.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"the strength that empties a part of a weight is not known ({self!r}); take the rule itself")

    def _seen(self, w: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(self.name, w, "mask", self.mask)
        mask, neutral = self.mask.to(w.device), self.rule.neutral
        return torch.where(mask, w, neutral.to(w.device) if isinstance(neutral, Tensor) else neutral), mask

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value of the part."""
        return self.rule(self._seen(w)[0])

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The gradient of the part, 0 elsewhere."""
        seen, mask = self._seen(w.detach())
        return torch.where(mask, self.rule.grad(seen).to(w.dtype), 0.0)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The proximal step of the part; the others stay.

        Raises:
            TypeError: the rule has none.
            ValueError: it has one for whole matrices alone, and the mask is not one of rows and columns.
        """
        if self.rule.has_prox and not self.has_prox:
            raise ValueError(
                f"{self.name} has a proximal step for the rows and columns of a matrix alone: let its mask be True "
                "for some rows times some columns, or attach it without proximal=True"
            )
        seen, mask = self._seen(w.detach())
        return torch.where(mask, self.rule.prox(seen, step).to(w.dtype), w.detach())
