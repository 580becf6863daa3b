"""Decoupled weight decay on selected weights: parameter groups for AdamW and its kin."""

from __future__ import annotations

from typing import Any

from torch import nn

from regtorch.receipt import receipt
from regtorch.rule import DEFAULT_SELECT, nonnegative
from regtorch.select import choose

__all__ = ["ParamGroups", "param_groups"]


class ParamGroups(list[dict[str, Any]]):
    """A list of parameter groups for any torch optimizer, with its receipt."""

    def __init__(self, groups: list[dict[str, Any]], receipt: str) -> None:
        super().__init__(groups)
        self._receipt = receipt

    def receipt(self) -> str:
        """Which weights decay, which do not, and why."""
        return self._receipt


def param_groups(
    model: nn.Module, weight_decay: float = 0.01, *, select: str = DEFAULT_SELECT, **options: Any
) -> ParamGroups:
    """Every trainable parameter of `model` once: those behind the selected weights with decay, the others without.

    A penalty is no decoupled decay, w ← w - lr·weight_decay·w, in which the optimizer's moments have no part; for that,
    give an optimizer such as AdamW these groups. `select="kernel|embedding"` decays what Hugging Face's Trainer does.

    Args:
        model: the net.
        weight_decay: of the selected weights, in the optimizer's units.
        select: which weights decay.
        options: settings of both groups, such as `lr`.

    Raises:
        SelectionError: `select` is not understood or matches nothing.
        TypeError: `weight_decay` is not a number, or `model` is not a module.
        ValueError: `weight_decay` is negative, infinite or NaN.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
        >>> optimizer = torch.optim.AdamW(rt.param_groups(net, 0.1), lr=1e-3)
        >>> [(group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
        [(0.1, 1), (0.0, 3)]
    """
    decay = nonnegative("param_groups", "weight_decay", weight_decay)
    selection = choose(model, select)
    chosen = {id(p) for weight in selection.chosen for p in weight.leaves(model)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if id(p) in chosen], "weight_decay": decay, **options},
        {"params": [p for p in trainable if id(p) not in chosen], "weight_decay": 0.0, **options},
    ]
    text = receipt(f"weight_decay={decay:g}, select={select!r}", selection, "decoupled from the gradient", {})
    return ParamGroups([group for group in groups if group["params"]], text)
