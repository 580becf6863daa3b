"""Rules tried on copies of the weights they are bound to, once, at the first step: `attach(optimizer, debug=True)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from regtorch.constraints import Constraint
from regtorch.numerics.sharded import whole
from regtorch.testing import check_constraint_at, check_penalty_at

__all__ = ["check_all"]

_SHARE = 0.01  # of a weight's size that is added to its copy: equal numbers, as a net may begin with, lie at kinks


def check_all(parts: list[Any]) -> None:
    """Try what bound rules promise on copies of their weights; nothing of the net or the generators is changed.

    Args:
        parts: single bound penalties and constraints; those that keep what they promise are taken out.

    Raises:
        AssertionError: a promise is broken; with the weight's name and a counter-example.
    """
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
    """Each weight's name, its rule and a copy of it in float64, laid out as the rule gets it."""
    constraint = isinstance(part.rule, Constraint)
    for weight, tensor in part.weights():
        rule = part.rule if constraint else part.rule_of(weight)
        if (constraint or rule.active) and tensor.numel():
            copy = part.units(weight, whole(tensor)).detach().clone()
            yield weight.name, rule, copy.to("cpu" if copy.device.type == "mps" else copy.device, torch.float64)


def _apart(w: Tensor) -> Tensor:
    """The weight with a little noise."""
    noise = torch.randn(w.shape, generator=torch.Generator().manual_seed(w.numel()), dtype=w.dtype).to(w.device)
    return w + _SHARE * (w.square().mean().sqrt() + _SHARE) * noise
