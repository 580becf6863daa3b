"""What a penalty is: a function of one weight, its gradient in closed form, its proximal step where there is one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from regtorch.norms import nonzero
from regtorch.rule import Rule

if TYPE_CHECKING:
    from jaxtyping import Float

    from regtorch.bind import BoundPenalty

__all__ = ["Penalty", "nonzero", "rows", "zero"]


class Penalty(Rule):
    """A function of one weight that is added to the loss.

    A subclass gives `__call__`, its closed-form `grad`, and `prox` where a proximal step is known.
    """

    prox_keeps_signs: ClassVar[bool] = False
    """Whether `prox` gives each number its own sign or 0, so that after L1's it is the proximal step of the sum."""

    @abstractmethod
    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The penalty of `w`, differentiable, summed in at least float32.

        Raises:
            TypeError: `w` does not hold real floating-point numbers.
        """

    @abstractmethod
    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """The gradient of `self(w)` in closed form, without a graph; 0 where the penalty has a kink."""

    @torch.no_grad()
    def add_grad_(
        self, w: Float[Tensor, "units *fan_in"], into: Float[Tensor, "units *fan_in"], factor: float | Tensor
    ) -> None:
        """Add factor · `self.grad(w)` to `into`, in place; overridden where that needs no copy of the weight."""
        into.add_(self.grad(w).mul_(factor))

    @property
    def by_unit(self) -> bool:
        """Whether output units matter, so that a weight must be read units first."""
        return True

    @property
    @abstractmethod
    def active(self) -> bool:
        """Whether any strength is above 0; an inactive penalty is exactly a no-op."""

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """The proximal step: argmin over z of self(z) + Σ (z - w)² / (2·step), `step` one number or one per coordinate.

        Raises:
            TypeError: this penalty has none in closed form.
        """
        raise TypeError(
            f"{self.name} has no proximal step in closed form; attach it without proximal=True "
            "(L1, L2, L1L2 and GroupLasso have one)"
        )

    def on(self, model: nn.Module) -> BoundPenalty:
        """Bind this penalty to the weights of `model` that `select` names; selection happens here, once.

        Raises:
            SelectionError: `select` is not understood or matches nothing; the names there are follow.
        """
        from regtorch.bind import BoundPenalty  # the one step up: a convenience for the reader of rt.L2(0.01).on(model)

        return BoundPenalty(self, model)


def rows(w: Tensor) -> Tensor:
    """The 2-D view (unit, rest) of a units-first weight."""
    return w.flatten(1) if w.ndim >= 2 else w.reshape(1, -1)


def zero(w: Tensor) -> Tensor:
    """A 0 that autograd can follow to `w`, also where `w` is infinite."""
    return w.reshape(-1)[:0].sum()
