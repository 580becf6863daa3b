"""Keras's Nadam and Adamax."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import Slots
from regtorch.keras.optimizers.moments import Moments

__all__ = ["Adamax", "Nadam"]

_DECAY = 0.96  # of Nadam's momentum schedule, fixed in Keras


def _momentum(beta1: float, t: int) -> float:
    return beta1 * (1 - 0.5 * _DECAY**t)


class Nadam(Moments):
    """Adam with Nesterov's momentum and the schedule u_t = β₁ (1 - ½·0.96ᵗ).

    Two peculiarities of Keras 2.14 are not reproduced: it rounds 0.96 to float32, and its graph mode multiplies Πu
    once for nearly every variable instead of once a step.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        betas: decay of the first and second moment.
        eps: ε (Keras's epsilon).
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Nadam([w])
    """

    slots = (Slots(("m", "v")),)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / (√v̂ + ε)`."""
        v_hat = state["v"] / (1 - group["betas"][1] ** state["step"])
        return group["lr"] / (v_hat.sqrt() + group["eps"])

    def numbers_at(self, group: dict[str, Any], t: int) -> dict[str, float]:
        """Π u_s up to step `t`."""
        return {"u_product": math.prod((_momentum(group["betas"][0], s) for s in range(1, t + 1)), start=1.0)}

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta1, beta2 = group["betas"]
        now, after = (_momentum(beta1, s) for s in (t, t + 1))
        product = state["u_product"] = state["u_product"] * now
        m, v = state["m"], state["v"]
        m.add_(g - m, alpha=1 - beta1)
        v.add_(g.square() - v, alpha=1 - beta2)
        m_hat = m * (after / (1 - product * after)) + g * ((1 - now) / (1 - product))
        v_hat = v / (1 - beta2**t)
        p.addcdiv_(m_hat, v_hat.sqrt_().add_(group["eps"]), value=-group["lr"])


class Adamax(Moments):
    """u ← max(β₂u, |g|), w ← w - lr·m / ((1-β₁ᵗ)(u + ε)).

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        betas: decay of the first moment and of the infinity norm.
        eps: ε (Keras's epsilon).
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adamax([w])
    """

    slots = (Slots(("m", "u")),)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / (u + ε)`."""
        return group["lr"] / (state["u"] + group["eps"])

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta1, beta2 = group["betas"]
        m, u = state["m"], state["u"]
        m.add_(g - m, alpha=1 - beta1)
        torch.maximum(u * beta2, g.abs(), out=u)
        p.addcdiv_(m, u + group["eps"], value=-group["lr"] / (1 - beta1**t))
