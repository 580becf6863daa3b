"""Keras's masks: which time steps of a tensor count.

A mask is a bool tensor (batch, steps) that belongs to a tensor of the graph. A module's members for it:

- `takes_masks = True`: `forward` gets `masks=`, a list with the mask of each positional input, None where it has none.
- `output_masks(masks, *inputs)`: the mask of its output, or a list of those of several.
- `clears_masks = True`: its inputs have no masks any more where they are used again.

A layer without `output_masks` passes the mask of its first input on if its Keras class is in `PASSES`; others drop it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["PASSES", "Masks", "masks_after", "united"]

Masks = Sequence[Tensor | None]

PASSES = {
    *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"),
    *("Dense", "Identity", "Rescaling", "Normalization", "MultiHeadAttention", "GroupQueryAttention"),
    *("BatchNormalization", "GroupNormalization", "LayerNormalization", "UnitNormalization"),
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
}
"""Keras's classes whose outputs have the mask of their first input."""


def masks_after(module: nn.Module, passes: bool, masks: Masks, inputs: Sequence[Tensor], outputs: int) -> Masks:
    """The mask of each output of a call."""
    own = cast(Any, getattr(module, "output_masks", None))
    if own is None:
        found = masks[0] if passes and masks else None
        return [found] * outputs
    given = own(masks, *inputs)
    return list(given) if isinstance(given, list | tuple) else [given] * outputs


def united(masks: Masks) -> Tensor | None:
    """The steps that count in any input of a merged one; None if an input has no mask."""
    if any(mask is None for mask in masks) or not masks:
        return None
    return reduce(torch.logical_or, cast("Sequence[Tensor]", masks))
