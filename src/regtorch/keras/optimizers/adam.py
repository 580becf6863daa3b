"""Keras's Adam and AdamW."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import KerasOptimizer, LearningRate, Parameters, Slots
from regtorch.keras.optimizers.settings import Shared, SharedWithDecay

__all__ = ["Adam", "AdamW"]


class Adam(KerasOptimizer):
    """w ← w - α m / (√v + ε) with α = lr √(1-β₂ᵗ) / (1-β₁ᵗ).

    ε is added to the uncorrected √v; torch adds it to the corrected one, so early steps differ.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        betas: decay of the first and second moment.
        eps: ε (Keras's epsilon).
        amsgrad: divide by the largest v so far.
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Adam([w])
    """

    slots = (Slots(("m", "v")), Slots(("v_hat",), "amsgrad"))

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
        amsgrad: bool = False,
        **shared: Unpack[SharedWithDecay],
    ) -> None:
        super().__init__(params, shared, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)

    @staticmethod
    def step_size(group: dict[str, Any], state: dict[str, Any]) -> Tensor:
        """`lr √(1-β₂ᵗ) / (√v + ε)`."""
        v = state["v_hat"] if group["amsgrad"] else state["v"]
        return group["lr"] * (1 - group["betas"][1] ** state["step"]) ** 0.5 / (v.sqrt() + group["eps"])

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta1, beta2 = group["betas"]
        alpha = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        m, v = state["m"], state["v"]
        m.add_(g - m, alpha=1 - beta1)
        v.add_(g.square() - v, alpha=1 - beta2)
        if group["amsgrad"]:
            v = torch.maximum(state["v_hat"], v, out=state["v_hat"])
        p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-alpha)


class AdamW(Adam):
    """Adam with a `weight_decay` of 0.004: w ← w - lr·weight_decay·w before each update, which is not a penalty.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        weight_decay: each step subtracts lr·weight_decay·w.
        betas: decay of the first and second moment.
        eps: ε (Keras's epsilon).
        amsgrad: divide by the largest v so far.
        shared: the settings of all optimizers; see `SGD`.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.AdamW([w], weight_decay=0.004)
    """

    def __init__(
        self,
        params: Parameters,
        lr: LearningRate = 0.001,
        weight_decay: float = 0.004,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
        amsgrad: bool = False,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(params, lr, betas, eps, amsgrad, weight_decay=weight_decay, **shared)
