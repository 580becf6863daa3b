"""Rules of one's own that break the rules' promises, and what the checkers say of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import regtorch as rt


class Bare(rt.Penalty):
    """Annotations alone."""

    lam: float = 0.1

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * w.square().sum()


class Vector(rt.Penalty):
    lam: float = 0.1

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * w.square()


def wrong(**methods: Any) -> rt.Penalty:
    return type("Wrong", (Bare,), {"__annotations__": {}, **methods})()


def _writes(self: Any, w: Tensor) -> Tensor:
    with torch.no_grad():
        w.mul_(2)
    return self.lam * w.square().sum()


WRONG: dict[str, tuple[rt.Penalty, str]] = {
    "vector": (Vector(), r"returns a tensor of shape \(1,\), expected a 0-dim tensor; sum it"),
    "nan": (wrong(__call__=lambda self, w: self.lam * (w - w).sum() / 0 * 0), "returns nan"),
    "no graph": (wrong(__call__=lambda self, w: torch.tensor(self.lam)), "returns a value without a graph"),
    "number": (wrong(__call__=lambda self, w: 1.0), "returns 1.0, expected a 0-dim tensor"),
    "writes": (wrong(__call__=_writes), "writes to the weight"),
    "random": (wrong(__call__=lambda self, w: self.lam * torch.rand(()) * w.sum()), "returns another value when"),
    "grad": (wrong(grad=lambda self, w: self.lam * w), "has grad .*, by autograd"),
    "shape of grad": (
        wrong(grad=lambda self, w: (2 * self.lam * w).sum()),
        "differs from its weight in shape",
    ),
    "add_grad_": (
        wrong(add_grad_=lambda self, w, into, factor: into.add_(w)),
        "add_grad_ that disagrees",
    ),
    "prox": (wrong(prox=lambda self, w, step: w), "has a prox of .* with cost .*, but .* has cost"),
    "strength": (wrong(__call__=lambda self, w: (self.lam + 0.1) * rt.L2(1.0)(w)), "not 0 at strength 0"),
    "square": (wrong(__call__=lambda self, w: self.lam**2 * rt.L2(1.0)(w)), "not twice as large"),
}


class Loose(rt.Constraint):
    """Only half of the way into [-1, 1]."""

    def __call__(self, w: Tensor) -> Tensor:
        return (w + w.clamp(-1, 1)) / 2

    def project_(self, w: Tensor) -> Tensor:
        return w.copy_(self(w))

    def violation(self, w: Tensor) -> Tensor:
        return (w.abs() - 1).clamp(min=0).max()


class Away(Loose):
    """The other way."""

    rate: float = 0.5

    def __call__(self, w: Tensor) -> Tensor:
        return 1.5 * w


class Elsewhere(rt.NonNeg):
    """In place it does something else."""

    def project_(self, w: Tensor) -> Tensor:
        return w.abs_()
