"""Keras's SGD."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, Parameters

__all__ = ["SGD"]


class SGD(KerasOptimizer):
    """v ← μv - lr·g, w ← w + v; with nesterov w ← w + μv - lr·g.

    Unlike in torch, the velocity contains the learning rate, so a change of it affects new gradients only.

    Args:
        params: parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        momentum: μ.
        nesterov: use Nesterov's momentum.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.SGD([w], lr=0.1, momentum=0.9)
    """

    def __init__(self, params: Parameters, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov)

    slots = ("velocity",)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> float:
        """`lr / (1 - μ)`."""
        return group["lr"] / (1 - group["momentum"])

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        lr, momentum = group["lr"], group["momentum"]
        if not momentum:
            p.add_(g, alpha=-lr)
            return
        v: Tensor = state["velocity"]
        v.mul_(momentum).add_(g, alpha=-lr)
        if group["nesterov"]:
            p.add_((v * momentum).add_(g, alpha=-lr))
        else:
            p.add_(v)
