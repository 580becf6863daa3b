"""How wrappers are built and driven."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD

from third_party.training import Batch, Case

__all__ = ["INSIDE", "at", "backward_only", "inside_case", "sgd", "two_steps"]

INSIDE = "the wrapper changes gradients or weights around the inner step, where the penalty acts as weight_decay does"


def sgd(model: nn.Module) -> SGD:
    """What is wrapped where nothing else is asked for."""
    return SGD(model.parameters(), 0.1, momentum=0.9)


def two_steps(optimizer: Any, batch: Batch) -> None:
    """Sharpness-aware: up, and down from there."""
    batch()
    optimizer.first_step(zero_grad=True)
    batch()
    optimizer.second_step(zero_grad=True)


def at(name: str) -> Callable[[Any], Any]:
    """The inner optimizer by its attribute."""
    return lambda optimizer: getattr(optimizer, name)


def inside_case(name: str, build: Callable[[nn.Module], Any], attribute: str, **fields: Any) -> Case:
    """A wrapper in which a penalty acts inside."""
    return Case(name, build, inner=at(attribute), **{"expect": "inside", "why": INSIDE, **fields})


def backward_only(optimizer: Any, batch: Batch) -> None:
    """No step is called."""
    batch.loss().backward()
