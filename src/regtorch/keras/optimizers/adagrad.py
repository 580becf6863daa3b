"""Keras's Adagrad and Adadelta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, Parameters

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(KerasOptimizer):
    """a ← a + g², w ← w - lr·g / √(a + ε), a starting at 0.1 (torch: at 0, ε outside the root).

    Args:
        params: parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        initial_accumulator_value: where a starts.
        eps: ε (Keras's epsilon).

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adagrad([w])
    """

    slots = ("accumulator",)

    def __init__(
        self, params: Parameters, lr: float = 0.001, initial_accumulator_value: float = 0.1, eps: float = 1e-7
    ) -> None:
        super().__init__(params, lr=lr, initial_accumulator_value=initial_accumulator_value, eps=eps)

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The accumulator starts above 0."""
        return torch.full_like(p, group["initial_accumulator_value"])

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / √(a + ε)`."""
        return group["lr"] / (state["accumulator"] + group["eps"]).sqrt()

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        a: Tensor = state["accumulator"]
        a.addcmul_(g, g)
        p.addcdiv_(g, (a + group["eps"]).sqrt_(), value=-group["lr"])


class Adadelta(KerasOptimizer):
    """Δ = -√(d + ε) g / √(a + ε), w ← w + lr·Δ, with a and d the running means of g² and Δ².

    Args:
        params: parameters or groups of them.
        lr: learning rate (Keras's learning_rate; the paper has 1, Keras 0.001).
        rho: decay of the running means.
        eps: ε (Keras's epsilon).

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adadelta([w], lr=1.0)
    """

    slots = ("accumulated_grad", "accumulated_delta")

    def __init__(self, params: Parameters, lr: float = 0.001, rho: float = 0.95, eps: float = 1e-7) -> None:
        super().__init__(params, lr=lr, rho=rho, eps=eps)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr √(d + ε) / √(a + ε)`."""
        a, d = state["accumulated_grad"], state["accumulated_delta"]
        return group["lr"] * ((d + group["eps"]) / (a + group["eps"])).sqrt()

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        rho, eps = group["rho"], group["eps"]
        a, d = state["accumulated_grad"], state["accumulated_delta"]
        a.mul_(rho).addcmul_(g, g, value=1 - rho)
        delta = (d + eps).sqrt_().mul_(g).div_((a + eps).sqrt_()).neg_()
        d.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.add_(delta, alpha=group["lr"])
