"""The values that a net's own state has before its first batch, and that no file holds."""

from __future__ import annotations

from torch import nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.layers.recurrent.layer import Recurrent

__all__ = ["set_first_values"]


def set_first_values(net: nn.Module) -> None:
    """Give running averages and counts their first values, and set the states of stateful layers to 0."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.reset_running_stats()
        elif isinstance(module, Recurrent):
            module.reset_state()
