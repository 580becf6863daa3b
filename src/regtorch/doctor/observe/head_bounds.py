"""The bounds of a head's outputs, whatever its weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.observe.calls import with_weights
from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.restored import restored, seed

__all__ = ["Bounds", "bounds_of", "last_with_weights"]

Bounds = tuple[float, float]
_WILD = 1e3  # standard deviation of the weights drawn
_DRAWS = 2  # each with both signs: a single draw may stay inside by chance


def bounds_of(obs: Observed) -> Bounds | None:
    """(0, 1), (-1, 1) or (0, inf) if the outputs stay inside with very large weights in the last layer; else None."""
    head = last_with_weights(obs)
    if head is None:
        return None
    with restored(obs.subject.model), torch.no_grad():
        seed(0)
        obs.subject.model.eval()
        drawn: list[Any] = []
        for _ in range(_DRAWS):
            for p in head.parameters():
                p.normal_(std=_WILD)
            drawn.append(obs.subject.output(0))
            for p in head.parameters():
                p.neg_()
            drawn.append(obs.subject.output(0))
    wild = joined(drawn)
    if wild is None or not bool(torch.isfinite(wild).all()) or not bool(wild.any()):
        return None
    smallest, largest = float(wild.min()), float(wild.max())
    if smallest >= -1 and largest <= 1:
        return (0.0 if smallest >= 0 else -1.0), 1.0
    return (0.0, inf) if smallest >= 0 else None


def last_with_weights(obs: Observed) -> nn.Module | None:
    """The module with its own weights that the forward pass enters last; of several outputs, on the way to this one."""
    found = with_weights(obs.calls())
    form = obs.subject.form
    return next(reversed(_reached(obs, found) if form is not None and form.several else found), None)


def _reached(obs: Observed, modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The modules that have a gradient of the output."""
    with obs.subject.restored():
        obs.subject.model.eval()
        output = obs.subject.output(0)
        weights = [p for module in modules for p in module.parameters() if p.requires_grad]
        if not isinstance(output, Tensor) or not output.requires_grad or not weights:
            return list(modules)
        grads = torch.autograd.grad(output.sum(), weights, allow_unused=True)
    reached = {id(p) for p, grad in zip(weights, grads, strict=True) if grad is not None}
    return [module for module in modules if any(id(p) in reached for p in module.parameters())]
