"""Bound penalties as terms of a sum: value, gradient and optimizer hook are said once, for one term and for many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.checks import nonnegative
from regtorch.numerics.sharded import whole
from regtorch.select.weight import Weight
from regtorch.shapes import Float
from regtorch.steps import hooks

__all__ = ["BoundSum", "BoundTerms", "Owned", "Term"]

Owned = Collection[int] | None  # ids of the parameters that may be touched; None means all


class BoundTerms(ABC):
    """One bound penalty or a sum of several; `scale` multiplies all of it."""

    def __init__(self) -> None:
        self._scale = 1.0

    @property
    def scale(self) -> float:
        """A factor on every term: the handle for schedules (warm-up, cosine).

        Raises:
            TypeError: set to what is not a number.
            ValueError: set to a negative, infinite or NaN number.
        """
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        self._scale = nonnegative(type(self).__name__, "scale", value)

    @abstractmethod
    def terms(self) -> list[tuple[float, Term]]:
        """The single terms, each with the product of the scales above it."""

    def __call__(self) -> Float[Tensor, ""]:
        """The penalty now, differentiable (way 1: add it to the loss)."""
        values = [value for factor, term in self.terms() for value in term.values(factor).values()]
        if not values:  # nothing is bound that acts: a zero that backward() accepts and that touches no weight
            return torch.zeros((), requires_grad=torch.is_grad_enabled())
        device = values[0].device
        return torch.stack([value.to(device) for value in values]).sum()

    def by_weight(self) -> dict[str, Float[Tensor, ""]]:
        """The penalty of each chosen weight; the values add up to `self()`."""
        total: dict[str, Tensor] = {}
        for factor, term in self.terms():
            values = term.values(factor)  # first, as it takes in what was unfrozen
            for name in term.names():
                total.setdefault(name, torch.zeros(()))
            for name, value in values.items():
                total[name] = total[name].to(value.device) + value
        return total

    def add_grad_(self, *, foreach: bool | None = None) -> None:
        """Add the penalty's gradient in closed form to every `.grad` (way 2: after backward, before clipping).

        Under a GradScaler that is after `scaler.unscale_(optimizer)`. A closure, for LBFGS say, calls it and returns
        the task's loss plus the penalty.

        Args:
            foreach: False takes the plain reference path, one weight after the other; otherwise many at once.

        Raises:
            TypeError: the gradient of this penalty has no closed form in the weights (`Activity`).
        """
        for factor, term in self.terms():
            term.add_grad_to(factor, foreach=foreach)

    def attach(
        self,
        optimizer: Optimizer,
        *,
        proximal: bool = False,
        schedule: Callable[[int], float] | None = None,
        debug: bool = False,
    ) -> hooks.Handle:
        """Act at every `optimizer.step()` in any trainer (way 3), on the weights that this optimizer owns.

        Those are the selected ones that are trainable when the step comes: layers that are unfrozen later join then.
        Of a sum, each term acts in the optimizers that own its weights. Inside a wrapper, such as SAM or Look-ahead, it
        is the wrapped optimizer's step that counts, as for that optimizer's own `weight_decay`.

        The gradient is added after any clipping, as torch's own `weight_decay` is. With `proximal=True` the penalty
        acts by its proximal step after the optimizer's instead, which makes exact zeros. What was added stays in
        `.grad` until it is zeroed, as after any backward; but a fused SGD, Adam or Adagrad adds an L2 in its own pass
        over the weights, where it costs nothing and leaves `.grad` as it was.

        Args:
            optimizer: any torch optimizer, or what wraps one.
            proximal: act by proximal steps.
            schedule: sets `scale` before every step: a function of the number of steps made before, such as
                `rt.schedules.warmup(1000)`. `handle.steps` is that number; save it, and set it to go on later.
            debug: before the first step try what the rule promises (`rt.testing.check_penalty`) on copies of its
                weights: that step raises an AssertionError with a counter-example where it is not kept.

        Returns:
            A handle; `handle.remove()` takes the rule off again.

        Raises:
            TypeError: not a torch optimizer or one whose steps run no hooks, a penalty that cannot act this way, or
                (proximal) an optimizer whose step size per weight is not known.
            ValueError: the optimizer owns none of the weights, has this rule already, or maximises; or (proximal) the
                proximal step of several penalties on one weight is not known.
        """
        return hooks.attach(optimizer, self, "proximal" if proximal else "gradient", schedule, debug)

    def sparsity(self) -> dict[str, float]:
        """The share of exact zeros in each chosen weight; under a mask, of the whole weight."""
        return {
            weight.name: whole((tensor == 0).sum()).item() / max(1, tensor.numel())
            for _, term in self.terms()
            for weight, tensor in term.weights()
        }

    def receipt(self) -> str:
        """What was chosen, with its penalty now; what was not, and why."""
        return "\n\n".join(term.describe(factor) for factor, term in self.terms())

    def __add__(self, other: object) -> BoundSum:
        if not isinstance(other, BoundTerms):
            return NotImplemented
        return BoundSum((self, other))

    def __radd__(self, other: object) -> BoundTerms:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # so that sum([...]) works


class BoundSum(BoundTerms):
    """Several bound penalties together; each keeps its own `scale` below this one's."""

    def __init__(self, parts: Sequence[BoundTerms]) -> None:
        super().__init__()
        self.parts = tuple(parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))

    def terms(self) -> list[tuple[float, Term]]:
        """The terms of every part, scaled."""
        return [(self.scale * factor, term) for part in self.parts for factor, term in part.terms()]


class Term(BoundTerms):
    """A bound penalty that is no sum. The methods below get the whole factor, `scale` included."""

    def terms(self) -> list[tuple[float, Term]]:
        """Itself."""
        return [(self.scale, self)]

    rule: Any
    model: nn.Module

    @abstractmethod
    def weights(self, owned: Owned = None) -> Iterator[tuple[Weight, Tensor]]:
        """The weights it acts on as they are now; none where it acts on something else (`Activity`)."""

    @abstractmethod
    def leaves(self, *, frozen: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
        """The trainable parameters it acts on, with the weights' names; with `frozen` those that may be some day.

        Raises:
            TypeError: it acts on no parameters (`Activity`).
        """

    def rule_of(self, weight: Weight) -> Any:
        """The rule of one weight."""
        return self.rule

    @abstractmethod
    def choose_again(self, when: str, optimizer: Optimizer | None = None) -> None:
        """Take in weights that were unfrozen since they were chosen."""

    @abstractmethod
    def names(self) -> list[str]:
        """What it is bound to."""

    @abstractmethod
    def values(self, factor: float, owned: Owned = None) -> dict[str, Tensor]:
        """The value of each weight on which it acts."""

    @abstractmethod
    def add_grad_to(self, factor: float | Tensor, owned: Owned = None, foreach: bool | None = None) -> bool:
        """Add factor · gradient to each weight's `.grad`; False where it found none of its weights among `owned`."""

    def decays(self, factor: float, owned: set[int]) -> dict[int, float]:
        """For each parameter of which an optimizer's weight_decay would be this penalty: its id, and which one."""
        return {}

    @abstractmethod
    def describe(self, factor: float) -> str:
        """Its part of the receipt."""
