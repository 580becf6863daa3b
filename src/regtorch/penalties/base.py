"""The base class of penalties: a function of one weight, its gradient, and its proximal step if it has one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from regtorch.numerics.blocks import in_blocks
from regtorch.rule import Grain, Rule, Strengths, wide
from regtorch.shapes import Bool, Float

if TYPE_CHECKING:
    from regtorch.bound.penalty import BoundPenalty

__all__ = ["Penalty", "check_one_step", "one_number", "zero"]


class Penalty(Strengths, Rule):
    """A function of one weight that is added to the loss.

    A subclass needs only `__call__`; the gradient then comes from autograd. Fields named `lam`, `l1` and `l2` are its
    strengths. It may add a closed-form `grad`, a proximal step `prox`, and `for_weight`, which receives the weight's
    name and its value at binding. `regtorch.testing.check_penalty` verifies all of them.

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
    """Whether `prox` keeps the sign of each number or sets it to 0; applied after L1's, it is then the sum's step."""

    one_step_size: ClassVar[bool] = False
    """Whether `prox` needs one step size for the entire weight."""

    separable: ClassVar[bool] = False
    """Whether the penalty is a sum over elements, so that the values of a sharded weight's shards add up."""

    mixes: ClassVar[bool] = False
    """Whether `prox` mixes rows and columns of a matrix, so that a mask must select a submatrix."""

    @abstractmethod
    def __call__(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The penalty of `w`, differentiable, summed in at least float32.

        Raises:
            TypeError: `w` is not a real floating-point tensor.
        """

    def of_strength_one(self) -> list[tuple[Penalty, float]]:
        """Split the penalty into penalties of strength 1 and their strengths, for paths over strengths.

        Raises:
            TypeError: its only strength is not `lam`.
        """
        if list(self.strengths) != ["lam"]:
            raise TypeError(f"{self.name} is not a strength lam times a formula")
        one = copy(self)
        one._set(lam=1.0)
        return [(one, self.strengths["lam"])]

    def for_weight(self, name: str, w: Float[Tensor, "units *fan_in"]) -> Penalty:
        """The penalty for one weight, called once at binding; `self` unless the penalty depends on the weight.

        Args:
            name: the weight's dotted name.
            w: its value at binding, detached and in the layout of `__call__`; clone it to keep it.
        """
        return self

    @property
    def by_unit(self) -> bool:
        """Whether the penalty depends on output units, so that weights are passed units first."""
        return True

    @property
    def grain(self) -> Grain:
        return "element" if self.separable else "weight"

    @property
    def neutral(self) -> float | Tensor:
        """The value put in place of masked-out elements."""
        return 0.0

    def within(self, mask: Bool[Tensor, "units *fan_in"]) -> Penalty:
        """The same penalty on the elements where `mask`, in the layout of `__call__`, is True."""
        from regtorch.penalties.part import PenaltyPart  # itself a penalty: a top-level import would be circular

        return PenaltyPart(self, mask)

    @property
    def weight_decay(self) -> float | None:
        """The `weight_decay` with the same gradient, weight_decay · w; None if there is none."""
        return None

    def grad(self, w: Float[Tensor, "units *fan_in"]) -> Float[Tensor, "units *fan_in"]:
        """The gradient of `self(w)`, detached; by autograd unless overridden in closed form.

        At kinks the closed forms of this library give 0.
        """
        return torch.func.grad(lambda v: one_number(self, self(v)))(wide(w.detach())).to(w.dtype)

    @torch.no_grad()
    def add_grad_(
        self, w: Float[Tensor, "units *fan_in"], into: Float[Tensor, "units *fan_in"], factor: float | Tensor
    ) -> None:
        """Add factor · `self.grad(w)` to `into` in place; override it to avoid a copy of the weight."""
        if isinstance(factor, Tensor) and factor.ndim:  # as in a path
            into.addcmul_(self.grad(w), factor.to(into.dtype))
            return
        parts = in_blocks(self, w, into)
        if parts is None:
            into.add_(self.grad(w) * factor)  # out of place: `grad` may return `w` itself or a cached tensor
            return
        for part in parts:
            part(into).add_(self.of_part(part).grad(part(w)) * factor)

    def add_grads_(self, weights: Sequence[Tensor], into: Sequence[Tensor], factor: float) -> None:
        """`add_grad_` for several weights; override it if they are faster together."""
        for w, g in zip(weights, into, strict=True):
            self.add_grad_(w, g, factor)

    @property
    def has_prox(self) -> bool:
        """Whether the penalty has a proximal step."""
        return type(self).prox is not Penalty.prox

    def prox(
        self, w: Float[Tensor, "units *fan_in"], step: float | Float[Tensor, "units *fan_in"]
    ) -> Float[Tensor, "units *fan_in"]:
        """The proximal step argmin_z self(z) + Σ (z - w)² / (2·step), with `step` a number or one number per element.

        Raises:
            TypeError: the penalty has no proximal step in closed form.
        """
        raise TypeError(
            f"{self.name} has no proximal step in closed form; attach it without proximal=True "
            "(L1, L2, L1L2 and GroupLasso have one)"
        )

    def emptied_by(self, g: Float[Tensor, "units *fan_in"]) -> Float[Tensor, ""]:
        """The smallest strength at which a weight of 0 stays 0, given the loss's gradient `g`: the dual norm of `g`.

        Raises:
            TypeError: the penalty makes no zeros, or its dual norm is unknown.
        """
        raise TypeError(
            f"{self.name} has no strength known to empty a weight; L1, L1L2, ElasticNet, GroupLasso, "
            "SparseGroupLasso and NuclearNorm have one"
        )

    def on(self, model: nn.Module) -> BoundPenalty:
        """Bind this penalty to the weights of `model` that `select` matches; weights unfrozen later join.

        Raises:
            SelectionError: `select` is invalid or matches nothing; the message lists the names that exist.
        """
        from regtorch.bound.penalty import BoundPenalty  # a convenience: bound/ is a floor above

        return BoundPenalty(self, model)


def one_number(rule: Penalty, value: object, weight: str = "") -> Tensor:
    """Return `value`, the penalty of one weight, after checking that it is a 0-dim tensor."""
    if not isinstance(value, Tensor) or value.ndim:
        what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        where = f" for the weight {weight!r}" if weight else ""
        raise TypeError(f"{rule!r} must return a 0-dim tensor, received {what}{where}; sum it")
    return value


def check_one_step(owner: str, step: float | Tensor) -> None:
    """Raise unless `step` is one number for the entire weight, as under SGD."""
    if isinstance(step, Tensor) and step.ndim:
        raise TypeError(f"{owner} has no proximal step with a step size per element, as under Adam; use SGD")


def zero(w: Tensor) -> Tensor:
    """A differentiable 0 connected to `w`, also if `w` is infinite."""
    return w.reshape(-1)[:0].sum()
