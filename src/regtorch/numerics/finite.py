"""Which tensors have NaN or infinite values, with one wait for the device and about one addition per number."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["not_finite"]


@torch.no_grad()
def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the floating-point tensors that have NaN or infinite values, in their order.

    Sums are fast and never finite where a number is not; they may also overflow, so those that do are checked number by
    number.
    """
    parts = list(tensors.values())
    if all(part.device.type == "cpu" for part in parts):  # nothing to wait for: the fewest operations
        finite = all(math.isfinite(part.sum().item()) for part in parts)
    else:
        sums = torch.stack([part.sum().to(parts[0].device, torch.float32) for part in parts])
        finite = bool(sums.sum().isfinite())
    return [] if finite else [name for name, part in tensors.items() if not bool(part.isfinite().all())]
