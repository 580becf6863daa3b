"""Keras's RMSprop."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["RMSprop"]


class RMSprop(KerasOptimizer):
    """v ← αv + (1-α)g², w ← w - lr·g / √(v + ε): ε is inside the root; in torch it is outside.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        alpha: decay of the mean square (Keras's rho).
        momentum: momentum of the steps.
        eps: ε (Keras's epsilon).
        centered: subtract the square of the mean gradient from v.
        legacy: without momentum √v + ε instead of √(v + ε), as before Keras 2.11 and in its `optimizers.legacy`.
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.RMSprop([w])
    """

    slots = (Slots(("velocity",)), Slots(("momentum",), "momentum"), Slots(("average_gradient",), "centered"))

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        alpha: float = 0.9,
        momentum: float = 0.0,
        eps: float = 1e-7,
        centered: bool = False,
        legacy: bool = False,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(
            params, shared, lr=lr, alpha=alpha, momentum=momentum, eps=eps, centered=centered, legacy=legacy
        )

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr / (1 - μ) / √(v + ε)`; if centered, v minus the squared mean gradient."""
        return group["lr"] / (1 - group["momentum"]) / _root(group, state)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        alpha, lr = group["alpha"], group["lr"]
        v: Tensor = state["velocity"]
        v.mul_(alpha).addcmul_(g, g, value=1 - alpha)
        if group["centered"]:
            mean: Tensor = state["average_gradient"]
            mean.mul_(alpha).add_(g, alpha=1 - alpha)
        increment = g * lr / _root(group, state)
        if group["momentum"]:
            increment = state["momentum"].mul_(group["momentum"]).add_(increment)
        p.sub_(increment)


def _root(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
    """The denominator."""
    outside = group["legacy"] and not group["momentum"]
    inside = state["velocity"] if outside else state["velocity"] + group["eps"]
    if group["centered"]:
        inside = inside - state["average_gradient"].square()
    return inside.sqrt() + group["eps"] if outside else inside.sqrt()
