"""Checks of attached rules on copies of their weights, at the first step: `attach(optimizer, debug=True)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.numerics.sharded import full
from regtorch.testing import check_constraint_at, check_penalty_at

__all__ = ["check_all"]

_NOISE = 0.01  # relative, added to copies: equal elements, as in a fresh network, are at kinks


def check_all(parts: list[Any]) -> None:
    """Check bound rules on copies of their weights and remove those that pass from `parts`."""
    while parts:
        _check(parts[0])
        parts.pop(0)


def _check(part: Any) -> None:
    for name, rule, w in _copies(part):
        try:
            with torch.enable_grad():
                if isinstance(rule, Constraint):
                    check_constraint_at(rule, w)
                else:
                    check_penalty_at(rule, w, _apart(w))
        except AssertionError as error:
            raise AssertionError(f"on the weight {name!r}: {error}") from None


def _copies(part: Any) -> Iterator[tuple[str, Any, Tensor]]:
    """The name, the rule and a float64 copy of each weight, in the layout that the rule receives."""
    constraint = isinstance(part.rule, Constraint)
    for weight, tensor in part.weights():
        rule = part.rule if constraint else part.rule_of(weight)
        if (constraint or rule.active) and tensor.numel():
            copy = part.units(weight, full(tensor)).detach().clone()
            yield (
                weight.name,
                rule.of_part(full),
                copy.to("cpu" if copy.device.type == "mps" else copy.device, torch.float64),
            )


def _apart(w: Tensor) -> Tensor:
    noise = torch.randn(w.shape, generator=torch.Generator().manual_seed(w.numel()), dtype=w.dtype).to(w.device)
    return w + _NOISE * (w.square().mean().sqrt() + _NOISE) * noise
