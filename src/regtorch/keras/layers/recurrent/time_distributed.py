"""Keras's TimeDistributed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.layers.recurrent.bidirectional import Bidirectional
from regtorch.keras.layers.recurrent.layer import Recurrent
from regtorch.keras.masks import Masks
from regtorch.keras.net import KerasNet, flat
from regtorch.keras.spec import Spec

__all__ = ["TimeDistributed"]


class TimeDistributed(nn.Module):
    """A layer or net on each step of sequences.

    Keras 2 calls it on all steps at once, Keras 3 step by step. That makes a difference, and is followed, where a call
    changes the layer's state, as batch norm's averages in training, or where each call has a penalty; Keras 3 leaves
    out the activity penalty of the layer itself.
    """

    takes_masks = True
    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.version = spec.axes, spec.version
        spec.get("layer")
        keras = spec.keras_shape
        if len(keras) < 3:
            raise ValueError(f"it takes an input of three dims or more, received {keras}")
        shape = tuple(self.axes.shape((keras[0], *keras[2:])))
        self.layer = spec.inner("layer", "layer", shape)
        self.penalized = isinstance(self.layer, KerasNet) and self.layer.penalized

    @property
    def stepwise(self) -> bool:
        """Whether a call of all steps at once would differ from a call for each step."""
        parts = list(self.layer.modules())
        if any(getattr(part, "stateful", False) for part in parts):
            return True
        averages = any(isinstance(part, BatchNorm) and part.training for part in parts)
        return self.version == 3 and (averages or self.penalized)

    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """Apply the layer to each step."""
        steps = self.axes.to_keras(x)
        mask = masks[0] if masks and getattr(self.layer, "takes_masks", False) else None
        if mask is not None and mask.ndim < 3 and isinstance(self.layer, Recurrent | Bidirectional | TimeDistributed):
            raise ValueError(
                "a mask of steps is not supported for a layer with steps of its own, which takes a mask (batch, steps, "
                f"its steps); received one of shape {tuple(mask.shape)}"
            )
        if self.stepwise:
            each = [self._called(steps[:, t], None if mask is None else mask[:, t]) for t in range(steps.shape[1])]
            y = torch.stack(each, 1)
        else:
            y = self._called(steps.flatten(0, 1), None if mask is None else mask.flatten(0, 1))
            y = y.unflatten(0, steps.shape[:2])
        return self.axes.from_keras(y)

    def _called(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The layer's output for some steps, in Keras's order of dims."""
        keywords: dict[str, Any] = {} if mask is None else {"masks": [mask]}
        output = flat(self.layer(self.axes.from_keras(x), **keywords))
        if len(output) != 1:
            raise ValueError(f"its layer must have one output, received {len(output)}")
        return self.axes.to_keras(output[0])

    def output_masks(self, masks: Masks, *inputs: Tensor) -> Tensor | None:
        """The input's mask; in Keras 2 that of the layer's output, or the steps that count at all."""
        mask = masks[0] if masks else None
        own: Any = getattr(self.layer, "output_masks", None)
        if self.version == 3 or self.stepwise:
            return mask
        if own is not None:
            steps = self.axes.to_keras(inputs[0])
            found = own([None if mask is None else mask.flatten(0, 1)], self.axes.from_keras(steps.flatten(0, 1)))
            first = found[0] if isinstance(found, list | tuple) else found
            if first is not None:
                return first.unflatten(0, steps.shape[:2])
        return mask if mask is None or mask.ndim < 3 else mask.flatten(2).any(-1)
