"""Keras's Lion."""

from __future__ import annotations

from typing import Any, Unpack

from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import SharedWithDecay

__all__ = ["Lion"]


class Lion(KerasOptimizer):
    """w ← w - lr·sign(β₁m + (1-β₁)g), then m ← β₂m + (1-β₂)g.

    Its steps have one size whatever the gradient, so there is no step size for proximal steps.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        betas: share of m in the step, and its decay.
        shared: the settings of all optimizers; see `SGD`.

    Source: Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Lion([w], lr=1e-4)
    """

    slots = (Slots(("m",)),)

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.99),
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(params, shared, lr=lr, betas=betas)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta1, beta2 = group["betas"]
        m: Tensor = state["m"]
        p.sub_((m * beta1 + g * (1 - beta1)).sign_(), alpha=group["lr"])
        m.mul_(beta2).add_(g, alpha=1 - beta2)
