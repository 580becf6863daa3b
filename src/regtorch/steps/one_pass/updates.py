"""How torch's optimizers move a weight, as functions of tensors for the compiler.

What is the same for all elements is computed outside of them, in double precision: a compiled pass would compute it for
every element, and a rate that changes would compile it anew.
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
State = dict[str, Tensor]  # an update replaces the tensors that it changes
Factors = Mapping[str, Any]


@dataclass(frozen=True)
class Update:
    """The step of one optimizer class.

    Attributes:
        move: the new weight from the weight, its gradient, its state and the factors.
        factors: numbers that are the same for all elements, from a param group and the number of this step.
        states: the names of the state's tensors, from a param group; those that are missing change the formula.
        flags: the settings of a param group that change the formula.
    """

    move: Callable[[Tensor, Tensor, State, Factors], Tensor]
    factors: Callable[[Group, float], dict[str, float]]
    states: Callable[[Group], tuple[str, ...]]
    flags: tuple[str, ...] = ()


def _sgd(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    g = g + at["decay"] * w
    if "momentum_buffer" in state:
        buffer = state["momentum_buffer"] = at["momentum"] * state["momentum_buffer"] + at["share"] * g
        g = g + at["momentum"] * buffer if at["nesterov"] else buffer
    return w - at["lr"] * g


def _sgd_factors(group: Group, t: float) -> dict[str, float]:
    numbers = {"lr": group["lr"], "decay": group["weight_decay"], "momentum": group["momentum"]}
    return numbers | {"share": 1 - group["dampening"]}


def _adam(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    if at["decoupled_weight_decay"]:
        w = w * at["kept"]
    else:
        g = g + at["decay"] * w
    m = state["exp_avg"] = state["exp_avg"] + at["share1"] * (g - state["exp_avg"])
    v = state["exp_avg_sq"] = at["beta2"] * state["exp_avg_sq"] + at["share2"] * g.square()
    if at["amsgrad"]:
        v = state["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], v)
    return w - at["lr"] * m / (v.sqrt() * at["correction"] + at["eps"])


def _adam_factors(group: Group, t: float) -> dict[str, float]:
    lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
    numbers = {"lr": lr / (1 - beta1**t), "decay": decay, "kept": 1 - lr * decay, "eps": group["eps"]}
    return numbers | {"share1": 1 - beta1, "beta2": beta2, "share2": 1 - beta2, "correction": (1 - beta2**t) ** -0.5}


def _rmsprop(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    g = g + at["decay"] * w
    v = state["square_avg"] = at["alpha"] * state["square_avg"] + at["share"] * g.square()
    if "grad_avg" in state:
        mean = state["grad_avg"] = state["grad_avg"] + at["share"] * (g - state["grad_avg"])
        v = v - mean.square()
    move = g / (v.sqrt() + at["eps"])
    if "momentum_buffer" in state:
        move = state["momentum_buffer"] = at["momentum"] * state["momentum_buffer"] + move
    return w - at["lr"] * move


def _rmsprop_factors(group: Group, t: float) -> dict[str, float]:
    numbers = {"lr": group["lr"], "decay": group["weight_decay"], "alpha": group["alpha"], "share": 1 - group["alpha"]}
    return numbers | {"eps": group["eps"], "momentum": group["momentum"]}


def _adagrad(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    g = g + at["decay"] * w
    total = state["sum"] = state["sum"] + g.square()
    return w - at["lr"] * g / (total.sqrt() + at["eps"])


def _adagrad_factors(group: Group, t: float) -> dict[str, float]:
    lr = group["lr"] / (1 + (t - 1) * group["lr_decay"])
    return {"lr": lr, "decay": group["weight_decay"], "eps": group["eps"]}


def _of_sgd(group: Group) -> tuple[str, ...]:
    return ("momentum_buffer",) if group["momentum"] else ()


def _of_adam(group: Group) -> tuple[str, ...]:
    return (STEP, "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))


def _of_rmsprop(group: Group) -> tuple[str, ...]:
    more = ["grad_avg"] * bool(group["centered"]) + ["momentum_buffer"] * bool(group["momentum"])
    return (STEP, "square_avg", *more)


def _of_adagrad(group: Group) -> tuple[str, ...]:
    return (STEP, "sum")


_ADAM = Update(_adam, _adam_factors, _of_adam, ("amsgrad", "decoupled_weight_decay"))
_UPDATES: dict[type[Optimizer], Update] = {
    optim.SGD: Update(_sgd, _sgd_factors, _of_sgd, ("nesterov",)),
    optim.Adam: _ADAM,
    optim.AdamW: _ADAM,
    optim.RMSprop: Update(_rmsprop, _rmsprop_factors, _of_rmsprop),
    optim.Adagrad: Update(_adagrad, _adagrad_factors, _of_adagrad),
}


def update_of(optimizer: Optimizer) -> Update | None:
    """The update of an optimizer's class; None if it is not known, as for subclasses, which may do anything."""
    return _UPDATES.get(type(optimizer))


def known_updates() -> list[type[Optimizer]]:
    """The classes of optimizers whose update is known."""
    return list(_UPDATES)
