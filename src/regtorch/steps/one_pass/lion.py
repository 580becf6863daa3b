"""Lion's step, as timm, lion-pytorch and pytorch_optimizer make it: w ← (1 - lr·decay)·w - lr·sign(β₁m + (1-β₁)g).

Source: Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from regtorch.steps.one_pass.sums import plus

__all__ = ["FLAGS", "NAMES", "factors", "fits", "move", "states"]

NAMES = (
    "timm.optim.lion.Lion",
    "lion_pytorch.lion_pytorch.Lion",
    "pytorch_optimizer.optimizer.lion.Lion",
)
FLAGS = ("weight_decouple",)
# Settings of a group, or of the optimizer, that make steps of another formula.
_UNKNOWN = ("caution", "cautious", "use_gc", "adanorm", "maximize", "decoupled_wd")


def move(w: Tensor, g: Tensor, state: dict[str, Tensor], at: Mapping[str, Any]) -> Tensor:
    """The new weight; it replaces the state's tensor."""
    if at["weight_decouple"] is False:
        g = plus(g, at["decay"], w)
    else:
        w = w * at["kept"]
    m = state["exp_avg"]
    state["exp_avg"] = m + at["share2"] * (g - m)
    return w - at["lr"] * (m + at["share1"] * (g - m)).sign()


def factors(group: Mapping[str, Any], t: Any) -> dict[str, Any]:
    """The numbers that are the same for all elements."""
    lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
    per_step = lr**2 / group["max_lr_snapshot"] if group.get("corrected_weight_decay") else lr
    kept = 1 - decay * (1.0 if group.get("fixed_decay") else per_step)
    return {"lr": lr, "decay": decay, "kept": kept, "share1": 1 - beta1, "share2": 1 - beta2}


def states(group: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the state's tensors."""
    return ("exp_avg",)


def fits(optimizer: Optimizer, group: Mapping[str, Any]) -> bool:
    """Whether this is the formula of its steps."""
    if not all(isinstance(group.get(name, True), bool) for name in FLAGS):  # libraries differ in what else is True
        return False
    return not any(group.get(name) or getattr(optimizer, name, False) for name in _UNKNOWN)
