"""Keras's Lamb."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regtorch.keras.optimizers.keras_optimizer import Slots
from regtorch.keras.optimizers.moments import Moments

__all__ = ["Lamb"]


class Lamb(Moments):
    """w ← w - lr·r·u with u = m̂ / (√v̂ + ε) and r = ‖w‖ / ‖u‖, or 1 where a norm is 0.

    r couples the elements of a weight, so there is no step size for proximal steps.

    Args:
        params: the net, or parameters or groups of them.
        lr: learning rate (Keras's learning_rate).
        betas: decay of the first and second moment.
        eps: ε (Keras's epsilon).
        shared: the settings of all optimizers; see `SGD`.

    Source: You et al. 2020, Large Batch Optimization for Deep Learning, arXiv:1904.00962.

    Example:
        >>> import torch, regtorch as rt
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = rt.keras.Lamb([w])
    """

    slots = (Slots(("m", "v")),)

    def update(self, p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any], t: int) -> None:
        beta1, beta2 = group["betas"]
        m, v = state["m"], state["v"]
        m.add_(g - m, alpha=1 - beta1)
        v.add_(g.square() - v, alpha=1 - beta2)
        u = (m / (1 - beta1**t)).div_((v / (1 - beta2**t)).sqrt_().add_(group["eps"]))
        w_norm, u_norm = p.norm(), u.norm()
        ratio = torch.where((w_norm > 0) & (u_norm > 0), w_norm / u_norm, 1.0)
        p.sub_(u * ratio, alpha=group["lr"])
