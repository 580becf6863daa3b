"""Images with their channels last in memory: the dims keep their order, and a CPU's kernels take less time."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["faster_channels_last", "with_channels_last"]


def faster_channels_last(x: Tensor) -> bool:
    """Whether convolutions of `x` take less time channels last: on a CPU, but in float64 depthwise ones take twice."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def with_channels_last(x: Tensor) -> Tensor:
    """The images (batch, channels, height, width) with their channels last in memory; `x` itself if they are."""
    if x.shape[1] > 1:
        last = x.movedim(1, -1)
        return x if last.is_contiguous() else last.contiguous().movedim(-1, 1)
    # With one channel both layouts are the same memory, and kernels go by its stride alone.
    return x if x.stride(1) == 1 else x.squeeze(1).unsqueeze(-1).movedim(-1, 1)
