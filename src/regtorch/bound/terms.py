"""Sums of bound penalties: value, gradient and attach() are implemented once for single penalties and sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.checks import nonnegative
from regtorch.notebook import Shown, code, line
from regtorch.numerics.sharded import full
from regtorch.select.places import Found
from regtorch.select.receipt import Receipt
from regtorch.select.weight import Weight
from regtorch.shapes import Float
from regtorch.steps import hooks

__all__ = ["BoundSum", "BoundTerms", "Owned", "Term", "on_one_device"]

Owned = Collection[int] | None  # ids of the parameters to act on; None means all


def on_one_device(values: list[Tensor]) -> list[Tensor]:
    """All values on the device of the first; on the meta device if one of them is unknown."""
    device = next((value.device for value in values if value.is_meta), values[0].device if values else None)
    return [value.to(device) for value in values]


class BoundTerms(Shown, ABC):
    """A bound penalty or a sum of several, multiplied by `scale`."""

    def __init__(self) -> None:
        self._scale = 1.0

    @property
    def scale(self) -> float:
        """A factor on every term, a finite number of at least 0; schedules set it."""
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        self._scale = nonnegative(type(self).__name__, "scale", value)

    @abstractmethod
    def terms(self) -> list[tuple[float, Term]]:
        """The single terms, each with the product of the scales that apply to it."""

    def __call__(self) -> Float[Tensor, ""]:
        """The penalty now, differentiable (way 1: add it to the loss)."""
        values = [value for factor, term in self.terms() for value in term.values(factor).values()]
        if not values:  # nothing is active: a zero that backward() accepts and that reaches no weight
            return torch.zeros((), requires_grad=torch.is_grad_enabled())
        return torch.stack(on_one_device(values)).sum()

    def by_weight(self) -> dict[str, Float[Tensor, ""]]:
        """The penalty of each chosen weight; they sum to `self()`."""
        total: dict[str, Tensor] = {}
        for factor, term in self.terms():
            values = term.values(factor)  # first, as it adds unfrozen weights to names()
            for name in term.names():
                total.setdefault(name, torch.zeros(()))
            for name, value in values.items():
                total[name] = total[name].to(value.device) + value
        return total

    def add_grad_(self, *, foreach: bool | None = None) -> None:
        """Add the penalty's gradient in closed form to every `.grad` (way 2: after backward, before clipping).

        Under a GradScaler, call it after `scaler.unscale_(optimizer)`. A closure, as for LBFGS, calls it and returns
        the task loss plus the penalty.

        Args:
            foreach: False takes the reference path, one weight at a time; otherwise many at once.

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

        It acts on the selected weights that are trainable at the step, so layers unfrozen later join. Each term of a
        sum acts in the optimizers that own its weights. Inside a wrapper such as SAM or Look-ahead it acts at the steps
        of the wrapped optimizer, as that optimizer's own `weight_decay` does.

        The gradient is added after any clipping, as torch's own `weight_decay` is, and stays in `.grad` until it is
        zeroed; but a fused SGD, Adam or Adagrad adds an L2 of many weights (262,144 numbers and more) in its own pass,
        at no cost and without changing `.grad`.
        With `proximal=True` the penalty takes a proximal step after the optimizer's step instead, which makes exact
        zeros.

        Args:
            optimizer: any torch optimizer, or a wrapper around one.
            proximal: take proximal steps.
            schedule: sets `scale` before every step: a function of the number of previous steps, such as
                `rt.schedules.warmup(1000)`. `handle.steps` is that number; save and restore it to resume training.
            debug: before the first step, run `rt.testing.check_penalty` on copies of the weights; the step raises an
                AssertionError with a counter-example if the check fails.

        Returns:
            A handle; `handle.remove()` detaches the rule.

        Raises:
            TypeError: not a torch optimizer or one whose steps run no hooks, a penalty that cannot be attached, or
                (proximal) an optimizer with an unknown step size.
            ValueError: the optimizer owns none of the weights, has this rule already, or maximises; or (proximal) the
                joint proximal step of several penalties on one weight is unknown.
        """
        return hooks.attach(optimizer, self, "proximal" if proximal else "gradient", schedule, debug)

    def sparsity(self) -> dict[str, float]:
        """The fraction of exact zeros in each chosen weight (even if masked, of the entire weight)."""
        return {
            weight.name: full((tensor == 0).sum()).item() / max(1, tensor.numel())
            for _, term in self.terms()
            for weight, tensor in term.weights()
        }

    def receipt(self) -> Receipt:
        """The chosen weights with their current penalties, and the weights left out with the reasons."""
        return Receipt("\n\n".join(term.describe(factor) for factor, term in self.terms()))

    def __add__(self, other: object) -> BoundSum:
        if not isinstance(other, BoundTerms):
            return NotImplemented
        return BoundSum((self, other))

    def __radd__(self, other: object) -> BoundTerms:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # so that sum([...]) works


class BoundSum(BoundTerms):
    """A sum of bound penalties, each with its own `scale` in addition to this one."""

    def __init__(self, parts: Sequence[BoundTerms]) -> None:
        super().__init__()
        self.parts = tuple(parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))

    def _repr_html_(self) -> str:
        scaled = [line("× ", code(f"{factor:g}")) if factor != 1 else "" for factor, _ in self.terms()]
        return "".join(term._repr_html_() + factor for (_, term), factor in zip(self.terms(), scaled, strict=True))

    def terms(self) -> list[tuple[float, Term]]:
        return [(self.scale * factor, term) for part in self.parts for factor, term in part.terms()]


class Term(BoundTerms):
    """A single bound penalty. The factors that its methods receive include `scale`."""

    rule: Any
    model: nn.Module

    def terms(self) -> list[tuple[float, Term]]:
        return [(self.scale, self)]

    @abstractmethod
    def weights(self, owned: Owned = None) -> Iterator[tuple[Weight, Tensor]]:
        """The weights that it currently acts on; none for `Activity`."""

    @abstractmethod
    def leaves(self, *, frozen: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
        """The trainable parameters behind its weights, with the weights' names; with `frozen` also frozen ones."""

    def found(self) -> Found:
        """Where its weights lie now; the same object as long as none was replaced."""
        return ()

    @abstractmethod
    def parameters(self) -> Iterator[tuple[str, int, nn.Parameter]]:
        """All parameters behind its weights, frozen ones too: the weight's name, which one, the parameter."""

    def rule_of(self, weight: Weight) -> Any:
        """The rule of one weight."""
        return self.rule

    @abstractmethod
    def choose_again(self, when: str, optimizer: Optimizer | None = None) -> None:
        """Add weights that were unfrozen since the last selection."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the weights or modules that it is bound to."""

    @abstractmethod
    def values(self, factor: float, owned: Owned = None) -> dict[str, Tensor]:
        """The value of each weight on which it acts."""

    @abstractmethod
    def add_grad_to(self, factor: float | Tensor, owned: Owned = None, foreach: bool | None = None) -> None:
        """Add factor · gradient to each weight's `.grad`."""

    def lent(self, factor: float, owned: set[int]) -> tuple[dict[int, float], bool]:
        """The equivalent weight_decay of each parameter by id, and whether it leaves out any weight."""
        return {}, True

    @abstractmethod
    def describe(self, factor: float) -> str:
        """Its part of the receipt."""
