"""Penalties of the distance from given weights: pre-trained ones, or those of an earlier task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor

from regtorch.numerics.sharded import full, is_sharded
from regtorch.numerics.unit_norms import check_shape
from regtorch.penalties.base import Penalty
from regtorch.rule import Grain, check_real, wide
from regtorch.shapes import Float

__all__ = ["EWC", "L2SP"]

Named = Mapping[str, Tensor]


class _Anchored(Penalty):
    """λ Σ f·(w - w₀)²; `for_weight` picks the w₀ and f of one weight."""

    lam: float
    start: Named | Tensor | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None:
            _check_named(self.name, "start", self.start)

    @property
    def by_unit(self) -> bool:
        return False

    @property
    def grain(self) -> Grain:
        return "element"

    @property
    def neutral(self) -> float | Tensor:
        """w₀, whose distance is 0."""
        return self.start if isinstance(self.start, Tensor) else 0.0

    def importance(self) -> Tensor | float:
        """The factors f."""
        return 1.0

    def _at(self, w: Tensor) -> tuple[Tensor, Tensor | float]:
        """W - w₀ and the factors f."""
        check_real(self.name, w)
        start = self.start
        if not isinstance(start, Tensor):
            raise TypeError(
                f"{self.name} needs the weights w₀: bind it with .on(model), or give start=tensor to use it directly"
            )
        check_shape(self.name, w, "start", start)
        return wide(w) - start.to(w.device), self.importance()

    def __call__(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """The value.

        Raises:
            TypeError: there is no w₀, or `w` is not a real floating-point tensor.
            ValueError: `w` differs from w₀ in shape.
        """
        distance, f = self._at(w)
        return self.lam * (f * distance.square()).sum()

    def grad(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """2λ f·(w - w₀)."""
        distance, f = self._at(w.detach())
        return (distance * f).mul_(2 * self.lam).to(w.dtype)

    def prox(self, w: Float[Tensor, "*shape"], step: float | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """w₀ + (w - w₀) / (1 + 2·step·λ·f)."""
        distance, f = self._at(w.detach())
        return (wide(w.detach()) - distance + distance / (1 + step * (2 * self.lam) * f)).to(w.dtype)

    def of_part(self, part: Callable[[Tensor], Tensor]) -> Self:
        cut = copy(self)
        cut._set(**{key: part(value) for key, value in vars(self).items() if isinstance(value, Tensor)})
        return cut

    def _bound(self, name: str, w: Tensor, **more: Any) -> Penalty:
        start = w if self.start is None else _of(self.start, "start", self.name, name, w)
        if start.is_meta:
            raise ValueError(
                f"{self.name}: the weights w₀ must have values, received {name!r} on the meta device; give start=..., "
                "or bind the rule once the weights are loaded"
            )
        bound = object.__new__(type(self))
        bound._set(**{**vars(self), "start": wide(start.detach()).clone(), **more})
        return bound


def _check_named(owner: str, argument: str, value: object) -> None:
    if not isinstance(value, Tensor | Mapping):
        raise TypeError(
            f"{owner}: {argument} must be a dict of tensors by the model's names, or a tensor, received "
            f"{type(value).__name__}; give model.state_dict() of a model"
        )


def _of(given: Named | Tensor, argument: str, owner: str, name: str, w: Tensor) -> Tensor:
    """The tensor given for one weight."""
    value = given if isinstance(given, Tensor) else given.get(name)
    if not isinstance(value, Tensor) or value.shape != w.shape:
        what = "nothing" if value is None else f"{tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ValueError(
            f"{owner}: {argument} must hold a tensor of shape {tuple(w.shape)} for the weight {name!r}, received "
            f"{what}; give a dict by the model's names, such as model.state_dict(), or leave the weight out by select"
        )
    return value if is_sharded(w) else full(value).to(w.device)


@dataclass(frozen=True, repr=False, eq=False)
class L2SP(_Anchored):
    """λ Σ(w - w₀)²: the pull towards the starting point (Li, Grandvalet & Davoine 2018, "L2-SP").

    Args:
        lam: the strength λ, in units of loss per squared unit of weight.
        start: w₀, a state dict by the model's names, or a tensor if the penalty is called on one. None takes the
            weights as they are at binding; for a layer unfrozen later, as they are then.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number, or `start` neither a dict nor a tensor.
        ValueError: `lam` is negative, infinite or NaN; at binding: `start` lacks a weight or differs in shape.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> reg = rt.L2SP(0.1).on(net)
        >>> with torch.no_grad():
        ...     _ = net.weight.add_(1.0)
        >>> round(reg().item(), 6)
        0.2
    """

    lam: float = 0.01
    start: Named | Tensor | None = field(default=None, repr=False)

    def for_weight(self, name: str, w: Float[Tensor, "*shape"]) -> Penalty:
        return self._bound(name, w)


@dataclass(frozen=True, repr=False, eq=False)
class EWC(_Anchored):
    """λ Σ F·(w - w₀)²: keeps what an earlier task needs (Kirkpatrick et al. 2017, with λ for their λ/2).

    Args:
        lam: the strength λ.
        fisher: F for each weight, by name: `rt.fisher(model, loss_fn, batches)` of the earlier task.
        start: w₀, as of `L2SP`.
        select: which weights.

    Raises:
        TypeError: `lam` is not a number, or `fisher` or `start` neither a dict nor a tensor.
        ValueError: `lam` is negative, infinite or NaN; at binding: `fisher` or `start` lacks a weight or differs in
            shape.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(2, 1)
        >>> reg = rt.EWC(0.1, {"weight": torch.tensor([[1.0, 0.0]])}).on(net)
        >>> with torch.no_grad():
        ...     _ = net.weight.add_(1.0)
        >>> round(reg().item(), 6)
        0.1
    """

    lam: float = 0.01
    fisher: Named | Tensor = field(default_factory=dict, repr=False)
    start: Named | Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_named(self.name, "fisher", self.fisher)

    def importance(self) -> Tensor | float:
        """The diagonal of the Fisher information."""
        if not isinstance(self.fisher, Tensor):
            raise TypeError("EWC: bind it with .on(model), or give fisher=tensor to use it directly")
        return self.fisher

    def for_weight(self, name: str, w: Float[Tensor, "*shape"]) -> Penalty:
        return self._bound(name, w, fisher=wide(_of(self.fisher, "fisher", self.name, name, w)).detach())
