"""The proximal step after an optimizer's step: exact zeros, and the solution of the penalised problem.

At a solution w the optimizer moves w to w - s·g, g the task's gradient, and the proximal step with the same s brings it
back. So s must be the optimizer's own step size for this weight once it is at rest, coordinate by coordinate where the
optimizer scales coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

if TYPE_CHECKING:
    from regtorch.terms import Term

__all__ = ["apply", "check", "check_term", "step_size"]

Step = float | Tensor


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


_STEP_SIZES: dict[type[Optimizer], Callable[[dict[str, Any], dict[str, Any]], Step]] = {
    optim.SGD: _sgd,
    optim.Adam: _adam,
    optim.AdamW: _adam,
    optim.NAdam: _adam,
    optim.Adamax: _adamax,
    optim.RMSprop: _rmsprop,
    optim.Adagrad: _adagrad,
}


def step_size(optimizer: Optimizer, group: dict[str, Any], p: nn.Parameter) -> Step:
    """The step size that a constant gradient meets in the state after this step: a number, or one per coordinate."""
    return _STEP_SIZES[type(optimizer)](group, optimizer.state[p])


def check(optimizer: Optimizer) -> None:
    """Refuse an optimizer whose step size is not known.

    Raises:
        TypeError: its type (a subclass may do anything) is not in the table.
    """
    if type(optimizer) not in _STEP_SIZES:
        known = ", ".join(kind.__name__ for kind in _STEP_SIZES)
        raise TypeError(
            f"attach: proximal=True needs the optimizer's step size for each weight, which is not known for "
            f"{type(optimizer).__name__}; use one of {known}, or attach without proximal=True"
        )


def check_term(term: Term) -> None:
    """Refuse a penalty without a proximal step, and a weight that is computed from others.

    Raises:
        TypeError: either of the two.
    """
    term.rule.prox(torch.zeros(1, 1), 1.0)  # raises by itself where there is none
    for weight, tensor in term.weights():
        if not isinstance(tensor, nn.Parameter):
            raise TypeError(
                f"attach: the weight {weight.name!r} is computed by a parametrization and has no proximal step; "
                f"leave it out with -name:{weight.name}, or attach without proximal=True"
            )


@torch.no_grad()
def apply(optimizer: Optimizer, term: Any, factor: float) -> bool:
    """The proximal step of factor · penalty on the weights that `optimizer` owns and has just stepped.

    A weight without a gradient was not stepped and is left alone. False where there are weights, but none is owned.
    """
    if not (term.rule.active and factor):
        return True
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    found_inf: Tensor | None = getattr(optimizer, "found_inf", None)  # a fused optimizer skips such a step by itself
    found = False
    for weight, p in term.weights(groups):
        found = True
        if p.grad is None:
            continue
        step = step_size(optimizer, groups[id(p)], p) * factor
        if isinstance(step, Tensor) and step.ndim:
            step = term.units(weight, step)
        new = term.units(weight, term.rule.prox(term.units(weight, p), step))
        p.copy_(new if found_inf is None else torch.where(found_inf.to(p.device) == 0, new, p))
    return found or not any(True for _ in term.weights())
