"""Keras's Adagrad and Adadelta."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(KerasOptimizer):
    """a ← a + g², w ← w - lr·g / √(a + ε), a starting at 0.1 (torch: at 0, ε outside the root).

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        initial_accumulator_value: where a starts.
        eps: ε (Keras's epsilon).
        legacy: √a + ε instead of √(a + ε), as before Keras 2.11 and in its `optimizers.legacy`.
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adagrad([w])
    """

    slots = (Slots(("accumulator",)),)

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        eps: float = 1e-7,
        legacy: bool = False,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(
            params, shared, lr=lr, initial_accumulator_value=initial_accumulator_value, eps=eps, legacy=legacy
        )

    def slot(self, name: str, p: Tensor, group: dict[str, Any]) -> Tensor:
        """The accumulator starts above 0."""
        return torch.full_like(p, group["initial_accumulator_value"])

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / √(a + ε)`, or `lr / (√a + ε)`."""
        a, eps = state["accumulator"], group["eps"]
        return group["lr"] / (a.sqrt() + eps if group["legacy"] else (a + eps).sqrt())

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        a: Tensor = state["accumulator"]
        a.addcmul_(g, g)
        root = a.sqrt().add_(group["eps"]) if group["legacy"] else (a + group["eps"]).sqrt_()
        p.addcdiv_(g, root, value=-group["lr"])


class Adadelta(KerasOptimizer):
    """Δ = -√(d + ε) g / √(a + ε), w ← w + lr·Δ, with a and d the running means of g² and Δ².

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate; the paper has 1, Keras 0.001).
        rho: decay of the running means.
        eps: ε (Keras's epsilon).
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adadelta([w], lr=1.0)
    """

    slots = (Slots(("accumulated_grad", "accumulated_delta")),)

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        rho: float = 0.95,
        eps: float = 1e-7,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(params, shared, lr=lr, rho=rho, eps=eps)

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
