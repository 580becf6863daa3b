"""Which tensors have NaN or infinite values, with one wait for the device and about one addition per number."""

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
    if not tensors:
        return []
    device = next(iter(tensors.values())).device
    sums = torch.stack([tensor.sum().to(device, torch.float32) for tensor in tensors.values()])
    if bool(sums.sum().isfinite()):
        return []
    return [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
