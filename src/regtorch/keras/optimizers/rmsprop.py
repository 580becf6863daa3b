"""Keras's RMSprop."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, Parameters

__all__ = ["RMSprop"]


class RMSprop(KerasOptimizer):
    """v ← αv + (1-α)g², w ← w - lr·g / √(v + ε): ε is inside the root; in torch it is outside.

    Args:
        params: parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        alpha: decay of the mean square (Keras's rho).
        momentum: momentum of the steps.
        eps: ε (Keras's epsilon).
        centered: subtract the square of the mean gradient from v.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.RMSprop([w])
    """

    slots = ("velocity", "average_gradient", "momentum")

    def __init__(
        self,
        params: Parameters,
        lr: float = 0.001,
        alpha: float = 0.9,
        momentum: float = 0.0,
        eps: float = 1e-7,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, alpha=alpha, momentum=momentum, eps=eps, centered=centered)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / (1 - μ) / √(v + ε)`; if centered, v minus the squared mean gradient."""
        inside = state["velocity"] + group["eps"]
        if group["centered"]:
            inside = inside - state["average_gradient"].square()
        return group["lr"] / (1 - group["momentum"]) / inside.sqrt()

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        alpha, lr = group["alpha"], group["lr"]
        v: Tensor = state["velocity"]
        v.mul_(alpha).addcmul_(g, g, value=1 - alpha)
        inside = v + group["eps"]
        if group["centered"]:
            mean: Tensor = state["average_gradient"]
            mean.mul_(alpha).add_(g, alpha=1 - alpha)
            inside.addcmul_(mean, mean, value=-1)
        increment = g * inside.rsqrt_() * lr
        if group["momentum"]:
            increment = state["momentum"].mul_(group["momentum"]).add_(increment)
        p.sub_(increment)
