"""One net in training under one rule, written in each of the ways there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

import regtorch as rt
from benchmark.nets import NetCase
from benchmark.rules import RULES, RuleCase
from regtorch.bound.penalty import BoundPenalty

__all__ = ["AGAIN", "NONE", "OPTIMIZERS", "WAYS", "Training", "Variant", "variants"]

OPTIMIZERS: dict[str, bool] = {"Adam": False, "fused Adam": True}
WAYS = ("naive", "way 1", "way 2", "way 3", "weight_decay")


@dataclass(frozen=True)
class Variant:
    """A rule and how it is written; none for the plain step."""

    rule: str
    way: str

    def __str__(self) -> str:
        return f"{self.rule}, {self.way}" if self.way else self.rule


NONE = Variant("none", "")
AGAIN = Variant("none again", "")
"""One more plain net: how far its ratio lies from 1 is what the machine's noise makes of no difference."""


def variants(ways: Sequence[str] = WAYS) -> list[Variant]:
    """The plain step twice, and every rule in each of `ways` that it has; a constraint is naive or way 3."""
    found = [NONE, AGAIN]
    for name, case in RULES.items():
        penalty = isinstance(case.rule, rt.Penalty)
        has = {"weight_decay": case.weight_decay is not None, "way 1": penalty, "way 2": penalty}
        found += [Variant(name, way) for way in ways if has.get(way, True)]
    return found


class Training:
    """A net, its optimizer and its batch; `step` is a training step.

    Args:
        case: the net.
        variant: the rule and the way it acts.
        fused: whether the optimizer is torch's fused one.
        kind: Adam, or SGD with momentum.
        device: where it runs.
        dtype: of weights and inputs.
    """

    def __init__(
        self,
        case: NetCase,
        variant: Variant = NONE,
        *,
        fused: bool = False,
        kind: str = "Adam",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch.manual_seed(0)
        self.net = case.make().to(device, dtype)
        self.x, self.y = (t.to(device) for t in case.data(dtype))
        self.in_loss: Callable[[], Tensor] | None = None
        self.after_backward: Callable[[], None] | None = None
        self.after_step: Callable[[], object] | None = None
        rule = RULES.get(variant.rule)
        decay = rule.weight_decay if rule and variant.way == "weight_decay" else None
        self.optimizer = self._made(kind, fused, decay)
        if rule and not decay:
            self._write(rule, variant.way)

    def _made(self, kind: str, fused: bool, decay: float | None) -> torch.optim.Optimizer:
        # A small learning rate: how long a step takes does not depend on it, and hundreds of steps stay finite.
        parameters = list(self.net.parameters())
        groups = [{"params": parameters}]
        if decay is not None:
            chosen = {id(w) for w in rt.select.weights(self.net, "kernel").values()}
            groups = [
                {"params": [p for p in parameters if id(p) in chosen], "weight_decay": decay},
                {"params": [p for p in parameters if id(p) not in chosen]},
            ]
        if kind == "SGD":
            return torch.optim.SGD(groups, lr=1e-5, momentum=0.9, fused=True if fused else None)
        return torch.optim.Adam(groups, lr=1e-5, fused=True if fused else None)

    def _write(self, case: RuleCase, way: str) -> None:
        bound = case.rule.on(self.net)
        weights = list(rt.select.weights(self.net, "kernel").values())
        if way == "way 3":
            bound.attach(self.optimizer)
        elif not isinstance(bound, BoundPenalty):
            self.after_step = lambda: case.naive(weights)
        elif way == "way 2":
            self.after_backward = bound.add_grad_
        elif way == "way 1":
            self.in_loss = bound
        else:
            self.in_loss = lambda: _tensor(case.naive(weights))

    def step(self) -> None:
        """Train on the batch once."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(self.x), self.y)
        if self.in_loss is not None:
            loss = loss + self.in_loss()
        loss.backward()
        if self.after_backward is not None:
            self.after_backward()
        self.optimizer.step()
        if self.after_step is not None:
            self.after_step()


def _tensor(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
