"""Constraints: the nearest weight inside a set, applied after every optimizer step.

A weight is read as *units first*: dim 0 names the output units, a tensor of fewer than two dims is one unit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from regtorch.rule import Rule, check_real, nonnegative, wide

if TYPE_CHECKING:
    from jaxtyping import Float

    from regtorch.bind import BoundConstraint

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "NormConstraint", "UnitNorm"]


_ROUNDING = 8  # units in the last place by which a norm differs after its row was scaled to it


class Constraint(Rule):
    """A set of weights and the way into it.

    A subclass gives `__call__` (pure), `project_` (the same in place) and `violation`.
    """

    @abstractmethod
    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`w` brought into the set: pure, idempotent, the identity inside it; zero rows stay zero.

        Raises:
            TypeError: `w` does not hold real floating-point numbers.
        """

    @abstractmethod
    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same, written into `w`."""

    @abstractmethod
    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest distance of a unit of `w` from the set; 0 inside."""

    @property
    def by_unit(self) -> bool:
        """Whether output units matter, so that a weight must be read units first."""
        return False

    def on(self, model: nn.Module) -> BoundConstraint:
        """Bind this constraint to the weights of `model` that `select` names; selection happens here, once.

        Raises:
            SelectionError: `select` is not understood or matches nothing; the names there are follow.
        """
        from regtorch.bind import BoundConstraint  # the one step up: a convenience, as Penalty.on

        return BoundConstraint(self, model)


@dataclass(frozen=True, repr=False)
class NormConstraint(Constraint):
    """A set told by the Euclidean norm of each unit: the direction is kept, the norm is mapped.

    Args:
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: added to the norm that divides, as Keras does with 1e-7; it makes the rule shrink weights inside the
            set a little at every step, so the default is 0.
        select: which weights.
    """

    dim: int | Sequence[int] | None = field(default=None, kw_only=True)
    epsilon: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(epsilon=nonnegative(self.name, "epsilon", self.epsilon, "0 is the exact projection"))
        if self.dim is not None and type(self.dim) is not int:
            if isinstance(self.dim, str | int) or not self.dim or not all(type(d) is int for d in self.dim):
                raise TypeError(f"{self.name}: dim must be None, an int or several ints, received {self.dim!r}")
            self._set(dim=tuple(self.dim))

    @abstractmethod
    def nearest(self, norm: Tensor) -> Tensor:
        """The norm inside the set that is nearest to `norm`."""

    def target(self, norm: Tensor) -> Tensor:
        """The norm that one application gives; `nearest` unless the rule only goes a part of the way."""
        return self.nearest(norm)

    @property
    def by_unit(self) -> bool:
        """True unless `dim` names the dims itself."""
        return self.dim is None

    def _norm(self, w: Tensor) -> Tensor:
        check_real(self.name, w)
        dim = tuple(range(1, w.ndim)) or None if self.dim is None else self.dim
        if isinstance(dim, int):
            dim = (dim,)
        if dim and not (all(-w.ndim <= d < w.ndim for d in dim) and len({d % w.ndim for d in dim}) == len(dim)):
            raise ValueError(
                f"{self.name}: dim must name dims of the weight, each once, received dim={self.dim!r} "
                f"for a weight of shape {tuple(w.shape)}"
            )
        return torch.linalg.vector_norm(wide(w), dim=dim, keepdim=True)

    def _factor(self, w: Tensor, norm: Tensor, target: Tensor) -> Tensor:
        if self.epsilon:
            return target / (norm + self.epsilon)
        # Exactly 1 inside the set and within rounding of its edge, so that a second application changes nothing; a
        # zero row is divided by 1 and stays zero; a row so large that its norm overflows becomes zero.
        rounding = max(_ROUNDING * torch.finfo(norm.dtype).eps, torch.finfo(w.dtype).eps / 2)
        inside = (target - norm).abs() <= rounding * norm.where(norm < torch.inf, 0.0)
        return torch.where(inside, 1.0, target / norm.where(norm > 0, 1.0))

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`w` with each unit's norm mapped."""
        norm = self._norm(w)
        return (w * self._factor(w, norm, self.target(norm))).to(w.dtype)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """One norm and one multiplication in place, no copy of the weight."""
        norm = self._norm(w)
        target = self.target(norm)
        # On a CPU looking costs less than a needless multiplication; elsewhere it would wait for the device.
        looks = norm.device.type == "cpu" and not torch.compiler.is_compiling()
        if looks and not self.epsilon and torch.equal(target, norm):
            return w
        return w.mul_(self._factor(w, norm, target))

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The largest |norm - nearest norm in the set| over the units."""
        norm = self._norm(w)
        return (norm - self.nearest(norm)).abs().max() if norm.numel() else norm.sum()


@dataclass(frozen=True, repr=False)
class MaxNorm(NormConstraint):
    """Each unit's norm at most `max_value`, as Keras's `MaxNorm` (Srivastava et al. 2014, c = 2 to 4).

    Momentum is not told: the optimizer's buffers keep pointing outwards, as in Keras.

    Args:
        max_value: the largest norm allowed.
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Raises:
        TypeError: `max_value` is not a number.
        ValueError: `max_value` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.MaxNorm(1.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """

    max_value: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            max_value=nonnegative("MaxNorm", "max_value", self.max_value, "give the largest norm allowed, such as 3")
        )

    def nearest(self, norm: Tensor) -> Tensor:
        """min(norm, max_value)."""
        return norm.clamp(max=self.max_value)


@dataclass(frozen=True, repr=False)
class UnitNorm(NormConstraint):
    """Each unit's norm is 1, as Keras's `UnitNorm`. A zero unit has no direction and stays zero.

    Args:
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.UnitNorm()(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    def nearest(self, norm: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(norm)


@dataclass(frozen=True, repr=False)
class MinMaxNorm(NormConstraint):
    """Each unit's norm between `min_value` and `max_value`, as Keras's `MinMaxNorm`.

    Args:
        min_value: the smallest norm allowed (a zero unit has no direction and stays zero).
        max_value: the largest norm allowed.
        rate: the part of the way to go at each step; only 1 is idempotent.
        dim: the dims reduced by the norm, in torch's layout; None means all but the output unit's.
        epsilon: 0 for the exact projection; 1e-7 for Keras's formula.
        select: which weights.

    Raises:
        TypeError: a number is none.
        ValueError: a number is negative, infinite or NaN, `min_value` is above `max_value` or `rate` above 1.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.MinMaxNorm(min_value=1.0, max_value=2.0)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[1.2000, 1.6000],
                [0.6000, 0.8000]])
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("min_value", "max_value", "rate"):
            self._set(
                **{
                    argument: nonnegative(
                        "MinMaxNorm", argument, getattr(self, argument), "norms and rates are not negative"
                    )
                }
            )
        if self.min_value > self.max_value:
            raise ValueError(
                f"MinMaxNorm: min_value must not exceed max_value, received {self.min_value} and {self.max_value}"
            )
        if self.rate > 1:
            raise ValueError(f"MinMaxNorm: rate must lie between 0 and 1, received {self.rate}")

    def nearest(self, norm: Tensor) -> Tensor:
        """The norm clamped into [min_value, max_value]."""
        return norm.clamp(self.min_value, self.max_value)

    def target(self, norm: Tensor) -> Tensor:
        """Rate · nearest + (1 - rate) · norm, written so that a norm inside stays exactly what it is."""
        nearest = self.nearest(norm)
        return nearest if self.rate == 1 else norm + self.rate * (nearest - norm)


@dataclass(frozen=True, repr=False)
class NonNeg(Constraint):
    """No element below 0, as Keras's `NonNeg`.

    Args:
        select: which weights.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.NonNeg()(torch.tensor([1.0, -2.0]))
        tensor([1., 0.])
    """

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """max(w, 0), element by element."""
        check_real(self.name, w)
        return w.clamp(min=0)

    def project_(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The same in place."""
        return w.clamp_(min=0)

    def violation(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """How far the most negative element lies below 0."""
        check_real(self.name, w)
        below = wide(w).neg().clamp(min=0)
        return below.max() if below.numel() else below.sum()
