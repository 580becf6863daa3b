"""Gradient clipping per member."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["clip_"]

_EPS = 1e-6  # as torch.nn.utils.clip_grad_norm_


@torch.no_grad()
def clip_(params: Mapping[str, Tensor], bound: float, by: str) -> None:
    """Clip gradients of stacked parameters in place, by "norm" (over all of a member's gradient) or "value"."""
    grads = [p.grad for p in params.values() if p.grad is not None]
    if by == "value":
        for grad in grads:
            grad.clamp_(-bound, bound)
        return
    norms = torch.stack([torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads])
    factors = (bound / (torch.linalg.vector_norm(norms, dim=0) + _EPS)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(factors.view(-1, *[1] * (grad.ndim - 1)))
