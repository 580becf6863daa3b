"""Layers that make masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = ["Masking"]


class Masking(nn.Module):
    """Keras's Masking: steps whose values all equal `mask_value` do not count, and become zero."""

    makes_masks = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes = spec.axes
        self.mask_value = spec.number("mask_value", 0.0)

    def output_masks(self, masks: Masks, x: Tensor) -> Tensor:
        return (self.axes.to_keras(x) != self.mask_value).any(-1)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.output_masks((), x).unsqueeze(-1)
        return torch.where(self.axes.from_keras(kept), x, 0)
