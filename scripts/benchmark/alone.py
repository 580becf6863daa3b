"""A rule by itself: what it adds to a step whose gradients are there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

import torch
from torch import nn
from torch.optim import Optimizer

import regtorch as rt
from benchmark.rules import RULES
from benchmark.variants import Variant
from regtorch.bound.penalty import BoundPenalty

__all__ = ["Still", "alone", "chosen", "with_gradients"]


class Still(Optimizer):
    """An optimizer that moves nothing, so that its step is what is attached to it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net.parameters(), {})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do nothing; the hooks around it act."""
        return None if closure is None else closure()


def with_gradients(net: nn.Module) -> nn.Module:
    """Give every parameter a gradient."""
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    return net


def chosen(net: nn.Module) -> list[torch.Tensor]:
    """The weights on which the rules act."""
    return list(rt.select.weights(net, "kernel").values())


def alone(net: nn.Module, variant: Variant) -> Callable[[], object]:
    """Make what a rule does in a step of `net`, which has gradients.

    For naive and way 1 that is the penalty's value and its backward pass; together with the task's loss it is the same
    work.
    """
    case = RULES[variant.rule]
    bound = case.rule.on(net)
    weights = chosen(net)
    if variant.way == "way 3":
        optimizer = Still(net)
        bound.attach(optimizer)
        return optimizer.step
    if not isinstance(bound, BoundPenalty):
        return lambda: case.naive(weights)
    if variant.way == "way 2":
        return bound.add_grad_

    def through_the_graph() -> None:
        value = bound() if variant.way == "way 1" else case.naive(weights)
        assert value is not None
        value.backward()

    return through_the_graph
