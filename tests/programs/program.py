"""A training program as data, and the operators that change one part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from programs.data import Data, changed

__all__ = ["By", "Operator", "Program", "SetUp", "also"]

Loss = Callable[[Any, Tensor], Tensor]
_BATCHES = 64


@dataclass(frozen=True)
class By:
    """An optimizer and its settings; `owns` picks its parameters."""

    kind: Callable[..., torch.optim.Optimizer] = torch.optim.Adam
    lr: float = 1e-3
    settings: dict[str, Any] = field(default_factory=dict)
    owns: Callable[[nn.Module], Any] = nn.Module.parameters

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        return self.kind(self.owns(model), lr=self.lr, **self.settings)


@dataclass(frozen=True)
class SetUp:
    """What a program's training loop has at hand."""

    model: nn.Module
    loss: Loss
    batches: list[tuple[Tensor, Tensor]]
    optimizer: torch.optim.Optimizer
    rules: Sequence[Any]
    size: int  # of a batch


@dataclass(frozen=True)
class Program:
    """A net, data, a loss, an optimizer, a batch size and rules.

    `score` is what its author wants: "classes" (accuracy), "order" (how often a positive has a higher output than a
    negative), or "numbers" (the correlation with the targets).
    """

    data: Callable[[], Data]
    net: Callable[[], nn.Module]
    loss: Loss
    score: str
    by: By = field(default_factory=By)
    size: int = 32
    rules: tuple[Any, ...] = ()
    arrange: Callable[[Data], Data] = lambda data: data  # of the training part: labels, order
    needs: str = ""  # real data

    def set_up(self, seed: int = 0) -> SetUp:
        """The program after its first lines, and one epoch of at most 64 batches."""
        torch.manual_seed(seed)
        model = self.net()
        data = self.arrange(self.data())
        batches = list(zip(data.x.split(self.size), data.y.split(self.size), strict=True))
        batches = [(x, y) for x, y in batches if len(x) == self.size or len(batches) == 1]
        return SetUp(model, self.loss, batches[:_BATCHES], self.by(model), self.rules, self.size)


Operator = Callable[[Program], Program]


def also(*operators: Operator) -> Operator:
    """One after another."""

    def apply(program: Program) -> Program:
        for operator in operators:
            program = operator(program)
        return program

    return apply


# Optimizers


def lr(value: float) -> Operator:
    return lambda program: replace(program, by=replace(program.by, lr=value))


def by(kind: Callable[..., torch.optim.Optimizer], lr: float = 1e-3, **settings: Any) -> Operator:
    return lambda program: replace(program, by=By(kind, lr, settings))


def owning(pick: Callable[[nn.Module], Any]) -> Operator:
    return lambda program: replace(program, by=replace(program.by, owns=pick))


# Nets


def net(make: Callable[[], nn.Module]) -> Operator:
    return lambda program: replace(program, net=make)


def then(change: Callable[[nn.Module], object]) -> Operator:
    """Change the net after it has been made."""

    def apply(program: Program) -> Program:
        def made() -> nn.Module:
            model = program.net()
            with torch.no_grad():
                change(model)
            return model

        return replace(program, net=made)

    return apply


def behind(*layers: Callable[[], nn.Module]) -> Operator:
    return lambda program: replace(program, net=lambda: nn.Sequential(program.net(), *(layer() for layer in layers)))


def before(*layers: Callable[[], nn.Module]) -> Operator:
    return lambda program: replace(program, net=lambda: nn.Sequential(*(layer() for layer in layers), program.net()))


def swapped(
    kind: type[nn.Module] | tuple[type[nn.Module], ...], to: Callable[[], nn.Module], most: int = 99
) -> Operator:
    """Every module of a kind by another, at most `most` of them."""

    def change(model: nn.Module) -> None:
        names = [name for name, module in model.named_modules() if isinstance(module, kind)]
        for name in names[:most]:
            model.set_submodule(name, to())

    return then(change)


def kernels(change: Callable[[Tensor], object]) -> Operator:
    return then(lambda model: [change(p) for p in model.parameters() if p.ndim > 1])


# Losses, data, rules


def loss(other: Loss) -> Operator:
    return lambda program: replace(program, loss=other)


def inputs(change: Callable[[Tensor], Tensor]) -> Operator:
    return lambda program: replace(program, data=changed(program.data, change, lambda y: y))


def targets(change: Callable[[Tensor], Tensor]) -> Operator:
    return lambda program: replace(program, data=changed(program.data, lambda x: x, change))


def data(make: Callable[[], Data]) -> Operator:
    return lambda program: replace(program, data=make)


def arranged(change: Callable[[Data], Data]) -> Operator:
    return lambda program: replace(program, arrange=change)


def size(samples: int) -> Operator:
    return lambda program: replace(program, size=samples)


def rules(*some: Any) -> Operator:
    return lambda program: replace(program, rules=some)
