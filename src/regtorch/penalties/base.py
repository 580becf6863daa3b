"""What a penalty is: a function of one weight, its gradient in closed form, its proximal step where there is one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from regtorch.numerics.norms import nonzero
from regtorch.rule import Rule, Strengths, wide
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.penalty import BoundPenalty

__all__ = ["Penalty", "nonzero", "one_number", "zero"]


class Penalty(Strengths, Rule):
    """A function of one weight that is added to the loss.

    A subclass needs `__call__` alone: the gradient then comes from autograd. Its fields `lam`, `l1` and `l2`, where it
    has them, are its strengths. It may add a closed-form `grad`, and `prox` where a proximal step is known, and ask in
    `for_weight` for the weight's name and its value at binding. `regtorch.testing.check_penalty` tries what it says.

    Example:
        >>> import torch, regtorch as rt
        >>> class LogSum(rt.Penalty):
        ...     lam: float = 0.01
        ...     def __call__(self, w):
        ...         return self.lam * w.abs().log1p().sum()
        >>> LogSum(1.0)(torch.tensor([0.0, 1.0]))
        tensor(0.6931)
        >>> net = torch.nn.Linear(2, 2)
        >>> LogSum(0.1).on(net).add_grad_()
    """

    prox_keeps_signs: ClassVar[bool] = False
    """Whether `prox` gives each number its own sign or 0, so that after L1's it is the proximal step of the sum."""

    one_step_size: ClassVar[bool] = False
    """Whether `prox` takes one step size for a whole weight only."""

    separable: ClassVar[bool] = False
    """Whether the penalty is a sum over single numbers, so that the parts of a sharded weight add up."""

    mixes: ClassVar[bool] = False
    """Whether `prox` mixes the rows and columns of a matrix, so that it knows no part but some of both."""

    @abstractmethod
    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The penalty of `w`, differentiable, summed in at least float32.

        Raises:
            TypeError: `w` does not hold real floating-point numbers.
        """

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        """The penalty as a sum of strengths times penalties of strength 1, as a path of strengths needs it.

        Raises:
            TypeError: it has no strength `lam`, or others beside it.
        """
        if list(self.strengths) != ["lam"]:
            raise TypeError(f"{self.name} is not a strength lam times a formula")
        one = copy(self)
        one._set(lam=1.0)
        return [(one, self.strengths["lam"])]

    def for_weight(self, name: str, w: Float[Tensor, "units *fan_in"]) -> Penalty:
        """The penalty of one weight, asked for once, at binding; itself unless it depends on the weight.

        Args:
            name: the weight's dotted name.
            w: its value then, without a graph and laid out as `__call__` gets it; clone what you keep.
        """
        return self

    @property
    def by_unit(self) -> bool:
        """Whether output units matter, so that a weight must be read units first."""
        return True

    @property
    def neutral(self) -> float | Tensor:
        """What stands where a mask leaves numbers out."""
        return 0.0

    def within(self, mask: Bool[Tensor, "units *fan_in"]) -> Penalty:
        """The same penalty of the numbers where `mask`, laid out as `__call__` gets a weight, is True."""
        from regtorch.penalties.part import Part  # which is a penalty itself

        return Part(self, mask)

    @property
    def weight_decay(self) -> float | None:
        """The `weight_decay` that has the same gradient, weight_decay · w; None where there is none."""
        return None

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """The gradient of `self(w)` without a graph; by autograd unless a subclass has it in closed form.

        At a kink it is 0 in our closed forms, and what autograd says elsewhere.
        """
        return torch.func.grad(lambda v: one_number(self, self(v)))(wide(w.detach())).to(w.dtype)

    @torch.no_grad()
    def add_grad_(
        self, w: Float[Tensor, "units *fan_in"], into: Float[Tensor, "units *fan_in"], factor: float | Tensor
    ) -> None:
        """Add factor · `self.grad(w)` to `into`, in place; overridden where that needs no copy of the weight."""
        into.add_(self.grad(w) * factor)  # a new tensor: `grad` may give what it keeps, or the weight itself

    def add_grads_(self, weights: Sequence[Tensor], into: Sequence[Tensor], factor: float) -> None:
        """The same for many weights; overridden where many at once are faster."""
        for w, g in zip(weights, into, strict=True):
            self.add_grad_(w, g, factor)

    @property
    def has_prox(self) -> bool:
        """Whether there is a proximal step."""
        return type(self).prox is not Penalty.prox

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

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The smallest strength at which a weight of 0 stays 0 where the loss's gradient is `g`: its dual norm.

        Raises:
            TypeError: it makes no zeros, or its dual norm is not known.
        """
        raise TypeError(
            f"{self.name} has no strength known to empty a weight; L1, L1L2, ElasticNet, GroupLasso, "
            "SparseGroupLasso and NuclearNorm have one"
        )

    def on(self, model: nn.Module) -> BoundPenalty:
        """Bind this penalty to the weights of `model` that `select` names; those unfrozen later join.

        Raises:
            SelectionError: `select` is not understood or matches nothing; the names there are follow.
        """
        from regtorch.bound.penalty import (
            BoundPenalty,  # the one step up: a convenience for the reader of rt.L2(0.01).on(model)
        )

        return BoundPenalty(self, model)


def one_number(rule: Penalty, value: object, of: str = "") -> Tensor:
    """What a penalty gives, checked.

    Args:
        rule: the penalty.
        value: what it gives.
        of: of what, for the message.

    Raises:
        TypeError: it is no tensor without dims.
    """
    if not isinstance(value, Tensor) or value.ndim:
        what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise TypeError(f"{rule!r} must give one number, a tensor without dims, but{of} it gives {what}; sum it")
    return value


def zero(w: Tensor) -> Tensor:
    """A 0 that autograd can follow to `w`, also where `w` is infinite."""
    return w.reshape(-1)[:0].sum()
