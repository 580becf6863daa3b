"""Keras's SGD."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["SGD"]


class SGD(KerasOptimizer):
    """v ← μv - lr·g, w ← w + v; with nesterov w ← w + μv - lr·g.

    Unlike in torch, the velocity contains the learning rate, so a change of it affects new gradients only.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        momentum: μ.
        nesterov: use Nesterov's momentum.
        shared: the settings of all optimizers, under Keras's names: weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, gradient_accumulation_steps, loss_scale_factor.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.SGD([w], lr=0.1, momentum=0.9, clipnorm=1.0)
    """

    slots = (Slots(("velocity",), "momentum"),)

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(params, shared, lr=lr, momentum=momentum, nesterov=nesterov)

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
