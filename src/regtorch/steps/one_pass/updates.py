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

from regtorch.steps.one_pass import lion
from regtorch.steps.one_pass.sums import plus

__all__ = ["DECAYS", "STEP", "UPDATES", "Update", "known_updates", "update_of"]

STEP = "step"  # the state that counts steps
DECAYS = "decays"  # the factor that says whether weight_decay is not 0, which makes no NaN of an infinite weight

Group = Mapping[str, Any]
State = dict[str, Tensor]  # an update replaces the tensors that it changes
Factors = Mapping[str, Any]


@dataclass(frozen=True)
class Update:
    """The step of one optimizer class.

    Attributes:
        move: the new weight from the weight, its gradient, its state and the factors.
        factors: numbers that are the same for all elements, from a param group and the number of this step; tensors if
            that or a setting is one.
        states: the names of the state's tensors, from a param group; those that are missing change the formula.
        size: the step size under a constant gradient, from the state after the step and the factors: a number, or one
            for each element; None if there is none.
        flags: the settings of a param group that change the formula.
        fits: whether a param group's steps have this formula at all.
    """

    move: Callable[[Tensor, Tensor, State, Factors], Tensor]
    factors: Callable[[Group, Any], dict[str, Any]]
    states: Callable[[Group], tuple[str, ...]]
    size: Callable[[Mapping[str, Any], Factors], Any] | None = None
    flags: tuple[str, ...] = ()
    fits: Callable[[Optimizer, Group], bool] = lambda optimizer, group: True

    def size_of(self, state: Mapping[str, Any], at: Factors) -> Any:
        """`size`, of an optimizer that has one."""
        assert self.size is not None, "proximal steps are refused before"
        return self.size(state, at)

    def step_size(self, group: Group, state: Mapping[str, Any]) -> Any:
        """The step size of a weight after a step; a tensor on the state's device, without a wait for it, if it can."""
        t = torch.as_tensor(state[STEP]).double() if STEP in state else 1.0
        return self.size_of(state, self.factors(group, t) | {name: group.get(name) for name in self.flags})


def _sgd(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    if at[DECAYS]:
        g = plus(g, at["decay"], w)
    if "momentum_buffer" in state:
        buffer = state["momentum_buffer"] = at["momentum"] * state["momentum_buffer"] + at["share"] * g
        g = g + at["momentum"] * buffer if at["nesterov"] else buffer
    return w - at["lr"] * g


def _sgd_factors(group: Group, t: Any) -> dict[str, Any]:
    lr, momentum, share = group["lr"], group["momentum"], 1 - group["dampening"]
    there = isinstance(momentum, Tensor) or momentum  # a tensor in a compiled step, if it is not 0
    numbers = {"lr": lr, "decay": group["weight_decay"], "momentum": momentum, "share": share}
    return numbers | {"size": lr * share / (1 - momentum) if there else lr}


def _sgd_size(state: Mapping[str, Any], at: Factors) -> Any:
    return at["size"]


def _adam(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    if at["decoupled_weight_decay"]:
        w = w * at["kept"]
    elif at[DECAYS]:
        g = plus(g, at["decay"], w)
    m = state["exp_avg"] = state["exp_avg"] + at["share1"] * (g - state["exp_avg"])
    v = state["exp_avg_sq"] = at["beta2"] * state["exp_avg_sq"] + at["share2"] * g.square()
    if at["amsgrad"]:
        v = state["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], v)
    return w - at["lr"] * m / (v.sqrt() * at["correction"] + at["eps"])


def _adam_factors(group: Group, t: Any) -> dict[str, Any]:
    lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
    numbers = {"lr": lr / (1 - beta1**t), "size": lr, "decay": decay, "kept": 1 - lr * decay, "eps": group["eps"]}
    return numbers | {"share1": 1 - beta1, "beta2": beta2, "share2": 1 - beta2, "correction": (1 - beta2**t) ** -0.5}


def _adam_size(state: Mapping[str, Any], at: Factors) -> Any:
    v = state["max_exp_avg_sq" if at["amsgrad"] else "exp_avg_sq"]
    return at["size"] / (v.sqrt() * at["correction"] + at["eps"])


def _rmsprop(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    if at[DECAYS]:
        g = plus(g, at["decay"], w)
    v = state["square_avg"] = at["alpha"] * state["square_avg"] + at["share"] * g.square()
    if "grad_avg" in state:
        mean = state["grad_avg"] = state["grad_avg"] + at["share"] * (g - state["grad_avg"])
        v = v - mean.square()
    move = g / (v.sqrt() + at["eps"])
    if "momentum_buffer" in state:
        move = state["momentum_buffer"] = at["momentum"] * state["momentum_buffer"] + move
    return w - at["lr"] * move


def _rmsprop_factors(group: Group, t: Any) -> dict[str, Any]:
    lr, alpha, momentum = group["lr"], group["alpha"], group["momentum"]
    numbers = {"lr": lr, "decay": group["weight_decay"], "alpha": alpha, "share": 1 - alpha}
    return numbers | {"eps": group["eps"], "momentum": momentum, "size": lr / (1 - momentum)}


def _rmsprop_size(state: Mapping[str, Any], at: Factors) -> Any:
    v = state["square_avg"]
    if "grad_avg" in state and at["centered"]:
        v = v - state["grad_avg"].square()
    return at["size"] / (v.sqrt() + at["eps"])


def _adagrad(w: Tensor, g: Tensor, state: State, at: Factors) -> Tensor:
    if at[DECAYS]:
        g = plus(g, at["decay"], w)
    total = state["sum"] = state["sum"] + g.square()
    return w - at["lr"] * g / (total.sqrt() + at["eps"])


def _adagrad_size(state: Mapping[str, Any], at: Factors) -> Any:
    return at["lr"] / (state["sum"].sqrt() + at["eps"])


def _adagrad_factors(group: Group, t: Any) -> dict[str, Any]:
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


_ADAM = Update(_adam, _adam_factors, _of_adam, _adam_size, ("amsgrad", "decoupled_weight_decay"))
UPDATES: dict[type[Optimizer], Update] = {
    optim.SGD: Update(_sgd, _sgd_factors, _of_sgd, _sgd_size, ("nesterov",)),
    optim.Adam: _ADAM,
    optim.AdamW: _ADAM,
    optim.RMSprop: Update(_rmsprop, _rmsprop_factors, _of_rmsprop, _rmsprop_size, ("centered",)),
    optim.Adagrad: Update(_adagrad, _adagrad_factors, _of_adagrad, _adagrad_size),
}
_LION = Update(lion.move, lion.factors, lion.states, flags=lion.FLAGS, fits=lion.fits)


def update_of(optimizer: Optimizer) -> Update | None:
    """The update of an optimizer's class; None if it is not known, as for subclasses, which may do anything."""
    kind = type(optimizer)
    return UPDATES.get(kind) or (_LION if f"{kind.__module__}.{kind.__qualname__}" in lion.NAMES else None)


def known_updates() -> str:
    """The optimizers whose update is known, in words."""
    names = ", ".join(kind.__name__ for kind in UPDATES)
    return f"torch.optim's {names}, or Lion of timm, lion-pytorch or pytorch_optimizer"
