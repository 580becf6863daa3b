"""A penalty that is quadratic in the weights, lent to a fused optimizer as `weight_decay` for the time of one step.

The optimizer streams every weight and gradient anyway, so that the penalty costs no pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import SGD, Adagrad, Adam, Optimizer

__all__ = ["Lender"]


class Lender:
    """Lends to one optimizer, and takes back."""

    def __init__(self) -> None:
        self._take_back: Callable[[], None] | None = None

    def lend(self, optimizer: Optimizer, decays: Mapping[int, float]) -> None:
        """Add to the weight_decay of parameters, by their ids, until `take_back`."""
        groups = optimizer.param_groups
        before = [(group, group["params"], group["weight_decay"]) for group in groups]

        def take_back() -> None:
            del groups[len(before) :]
            for group, params, decay in before:
                group["params"], group["weight_decay"] = params, decay

        self._take_back = take_back
        for group, params, decay in before:
            parts: dict[float, list[torch.Tensor]] = {}
            for p in params:
                parts.setdefault(decay + decays.get(id(p), 0.0), []).append(p)
            # The group itself keeps a part, so that what others write into it meanwhile, a rate above all, stays.
            for number, (total, part) in enumerate(parts.items()):
                if number:
                    groups.append({**group, "params": part, "weight_decay": total})
                else:
                    group["params"], group["weight_decay"] = part, total

    def take_back(self) -> None:
        """Leave the param groups as they were; nothing is done where nothing is lent."""
        if self._take_back is not None:
            take_back, self._take_back = self._take_back, None
            take_back()

    @staticmethod
    def suits(optimizer: Optimizer) -> bool:
        """Whether its step adds weight_decay · w to each gradient in one pass with everything else.

        Others add it in a pass of their own, decouple it, or are a class of which this is not known.
        """
        if type(optimizer) not in (SGD, Adam, Adagrad) or torch.compiler.is_compiling():
            return False
        return all(_suits(group) for group in optimizer.param_groups)


def _suits(group: Mapping[str, Any]) -> bool:
    return bool(group.get("fused")) and not group.get("decoupled_weight_decay")
