"""How torch's optimizers move a weight, as functions of tensors for the compiler.

Settings that are numbers are 0-dim float64 tensors, so that schedules never recompile; the others are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim
from torch.optim import Optimizer

__all__ = ["STEP", "Update", "known_updates", "update_of"]

STEP = "step"  # the state that counts steps

Group = Mapping[str, Any]
State = dict[str, Tensor]  # the step count in float64; an update replaces the tensors that it changes


@dataclass(frozen=True)
class Update:
    """The step of one optimizer class.

    Attributes:
        move: the new weight from the weight, its gradient, its state and its param group.
        states: the names of the state's tensors, from a param group.
        numbers: the settings of a param group that are numbers.
        flags: the settings that are constants.
    """

    move: Callable[[Tensor, Tensor, State, Group], Tensor]
    states: Callable[[Group], tuple[str, ...]]
    numbers: tuple[str, ...]
    flags: tuple[str, ...]


def _sgd(w: Tensor, g: Tensor, state: State, group: Group) -> Tensor:
    g = g + group["weight_decay"] * w
    if "momentum_buffer" in state:
        buffer = group["momentum"] * state["momentum_buffer"] + (1 - group["dampening"]) * g
        state["momentum_buffer"] = buffer
        g = g + group["momentum"] * buffer if group["nesterov"] else buffer
    return w - group["lr"] * g


def _adam(w: Tensor, g: Tensor, state: State, group: Group) -> Tensor:
    lr, (beta1, beta2), t = group["lr"], group["betas"], state[STEP]
    if group["decoupled_weight_decay"]:
        w = w * (1 - lr * group["weight_decay"])
    else:
        g = g + group["weight_decay"] * w
    m = state["exp_avg"] = state["exp_avg"] + (1 - beta1) * (g - state["exp_avg"])
    v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g.square()
    if group["amsgrad"]:
        v = state["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], v)
    return w - lr / (1 - beta1**t) * m / (v.sqrt() * (1 - beta2**t).rsqrt() + group["eps"])


def _rmsprop(w: Tensor, g: Tensor, state: State, group: Group) -> Tensor:
    alpha = group["alpha"]
    g = g + group["weight_decay"] * w
    v = state["square_avg"] = alpha * state["square_avg"] + (1 - alpha) * g.square()
    if group["centered"]:
        mean = state["grad_avg"] = state["grad_avg"] + (1 - alpha) * (g - state["grad_avg"])
        v = v - mean.square()
    move = g / (v.sqrt() + group["eps"])
    if "momentum_buffer" in state:
        move = state["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + move
    return w - group["lr"] * move


def _adagrad(w: Tensor, g: Tensor, state: State, group: Group) -> Tensor:
    g = g + group["weight_decay"] * w
    total = state["sum"] = state["sum"] + g.square()
    return w - group["lr"] / (1 + (state[STEP] - 1) * group["lr_decay"]) * g / (total.sqrt() + group["eps"])


def _of_sgd(group: Group) -> tuple[str, ...]:
    return ("momentum_buffer",) if group["momentum"] else ()


def _of_adam(group: Group) -> tuple[str, ...]:
    return (STEP, "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))


def _of_rmsprop(group: Group) -> tuple[str, ...]:
    more = ["grad_avg"] * bool(group["centered"]) + ["momentum_buffer"] * bool(group["momentum"])
    return (STEP, "square_avg", *more)


_ADAM = Update(_adam, _of_adam, ("lr", "betas", "eps", "weight_decay"), ("amsgrad", "decoupled_weight_decay"))
_UPDATES: dict[type[Optimizer], Update] = {
    optim.SGD: Update(_sgd, _of_sgd, ("lr", "momentum", "dampening", "weight_decay"), ("nesterov",)),
    optim.Adam: _ADAM,
    optim.AdamW: _ADAM,
    optim.RMSprop: Update(_rmsprop, _of_rmsprop, ("lr", "alpha", "eps", "weight_decay", "momentum"), ("centered",)),
    optim.Adagrad: Update(_adagrad, lambda group: (STEP, "sum"), ("lr", "lr_decay", "eps", "weight_decay"), ()),
}


def update_of(optimizer: Optimizer) -> Update | None:
    """The update of an optimizer's class; None if it is not known, as for subclasses, which may do anything."""
    return _UPDATES.get(type(optimizer))


def known_updates() -> list[type[Optimizer]]:
    """The classes of optimizers whose update is known."""
    return list(_UPDATES)
