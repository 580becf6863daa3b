"""The step size that a weight meets at an optimizer's step, which its proximal step must share.

At a solution w the optimizer moves w to w - s·g, g the task's gradient, and the proximal step with the same s brings it
back. So s is the optimizer's own step size for a weight at rest, whose gradient is constant: coordinate by coordinate
where the optimizer scales coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

__all__ = ["check", "step_size"]

Step = float | Tensor
StepSize = Callable[[dict[str, Any], dict[str, Any]], Step]  # of a param group and a weight's state after the step


def _steps(state: dict[str, Any]) -> Tensor:
    """The number of steps made, left on its device: no host sync, no break in a compiled step."""
    return torch.as_tensor(state["step"]).double()


def _sgd(group: dict[str, Any], state: dict[str, Any]) -> Step:
    momentum = group["momentum"]
    return group["lr"] * (1 - group["dampening"]) / (1 - momentum) if momentum else group["lr"]


def _adam(group: dict[str, Any], state: dict[str, Any]) -> Step:
    second = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    corrected = second / (1 - group["betas"][1] ** _steps(state))
    return group["lr"] / (corrected.sqrt() + group["eps"])


def _adamax(group: dict[str, Any], state: dict[str, Any]) -> Step:
    return group["lr"] / state["exp_inf"]  # eps is inside the running maximum


def _rmsprop(group: dict[str, Any], state: dict[str, Any]) -> Step:
    variance = state["square_avg"]
    if group["centered"]:
        variance = variance - state["grad_avg"].square()
    return group["lr"] / (1 - group["momentum"]) / (variance.sqrt() + group["eps"])


def _adagrad(group: dict[str, Any], state: dict[str, Any]) -> Step:
    lr = group["lr"] / (1 + (_steps(state) - 1) * group["lr_decay"])
    return lr / (state["sum"].sqrt() + group["eps"])


_STEP_SIZES: dict[type[Optimizer], StepSize] = {
    optim.SGD: _sgd,
    optim.Adam: _adam,
    optim.AdamW: _adam,
    optim.NAdam: _adam,
    optim.Adamax: _adamax,
    optim.RMSprop: _rmsprop,
    optim.Adagrad: _adagrad,
}


def _of(kind: type[Optimizer]) -> StepSize | None:
    """The formula for a class: torch's from the table, others' from the class itself, never from a base class."""
    own = vars(kind).get("step_size")
    return own.__func__ if isinstance(own, staticmethod) else _STEP_SIZES.get(kind)


def step_size(optimizer: Optimizer, group: dict[str, Any], p: nn.Parameter) -> Step:
    """The step size that a constant gradient meets in the state after this step: a number, or one per coordinate."""
    formula = _of(type(optimizer))
    assert formula is not None, "check() comes first"
    return formula(group, optimizer.state[p])


def check(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose step size is not known.

    Raises:
        TypeError: its class (a subclass may do anything) has no formula.
    """
    kind = type(optimizer)
    if _of(kind) is None:
        known = ", ".join(known.__name__ for known in _STEP_SIZES)
        name = f"{kind.__module__}.{kind.__name__}" if kind.__name__ in known.split(", ") else kind.__name__
        raise TypeError(
            f"attach: proximal=True needs the optimizer's step size for each weight, which is not known for {name}; "
            f"use one of {known} of torch.optim, or of regtorch.keras's optimizers, or attach without proximal=True"
        )
