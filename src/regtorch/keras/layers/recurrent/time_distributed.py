"""Keras's TimeDistributed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.keras.batch_norm import BatchNorm
from regtorch.keras.layers.dense import Dense
from regtorch.keras.layers.spectral import SpectralNormalization
from regtorch.keras.masks import Masks
from regtorch.keras.net import KerasNet, flat, penalized_inside
from regtorch.keras.spec import Spec

__all__ = ["TimeDistributed"]


class TimeDistributed(nn.Module):
    """A layer or net on each step of sequences.

    Keras 2 calls it on all steps at once, Keras 3 step by step. That makes a difference, and is followed, where a call
    changes the layer's state, as batch norm's averages and spectral norms in training, or where each call has a
    penalty; Keras 3 leaves out the activity penalty of the layer itself. Keras 2 runs a net a second time for its mask,
    which moves averages twice and doubles activity penalties.
    """

    takes_masks = True
    keras_order = True
    keras_parts: Mapping[str, str] = {"layer": "layer"}

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.axes, self.version = spec.axes, spec.version
        config = spec.get("layer")
        keras = spec.keras_shape
        if len(keras) < 3:
            raise ValueError(f"it takes an input of three dims or more, received {keras}")
        shape = tuple(self.axes.shape((keras[0], *keras[2:])))
        self.layer = spec.inner("layer", "layer", shape)
        self.takes_mask = isinstance(self.layer, KerasNet) or getattr(self.layer, "takes_masks", False)

        # The activation of a head is the last that it computes, where `logits=True` looks for it.
        self.activation: nn.Module = nn.Identity()
        penalized = self.version == 2 and config["config"].get("activity_regularizer") is not None
        if isinstance(self.layer, Dense) and not penalized:
            self.activation, self.layer.activation = self.layer.activation, nn.Identity()
            if isinstance(self.activation, nn.Softmax):
                self.activation = nn.Softmax(self.axes.dim(-1, len(keras)))

    @property
    def stepwise(self) -> bool:
        """Whether it is called for each step on its own."""
        stateful = any(getattr(part, "stateful", False) for part in self.layer.modules())
        return stateful or (self.version == 3 and self.counted)

    @property
    def counted(self) -> bool:
        """Whether the number of calls makes a difference."""
        changing = (part for part in self.layer.modules() if isinstance(part, BatchNorm | SpectralNormalization))
        return penalized_inside(self.layer) or any(part.training for part in changing)

    def forward(self, x: Tensor, masks: Masks = ()) -> Any:
        """The layer's output of each step, or a tuple if it has several."""
        steps = self.axes.to_keras(x)
        mask = masks[0] if masks and self.takes_mask else None
        if mask is not None and mask.shape[:2] != steps.shape[:2]:
            raise ValueError(f"its mask must begin with {tuple(steps.shape[:2])}, received {tuple(mask.shape)}")
        if self.stepwise:
            count = steps.shape[1]
            called = range(1 if x.is_meta else count)  # one tells the shape
            each = [self._called(steps[:, t], None if mask is None else mask[:, t]) for t in called]
            stacked = (torch.stack(parts, 1) for parts in zip(*each, strict=True))
            outputs = [y.expand(-1, count, *y.shape[2:]) for y in stacked]
        else:
            given = steps.flatten(0, 1), None if mask is None else mask.flatten(0, 1)
            if self.version == 2 and isinstance(self.layer, KerasNet) and self.counted:
                self._called(*given)
            outputs = [y.unflatten(0, steps.shape[:2]) for y in self._called(*given)]
        outputs = tuple(self.activation(self.axes.from_keras(y)) for y in outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _called(self, x: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The layer's outputs for some steps, in Keras's order of dims."""
        keywords: dict[str, Any] = {} if mask is None else {"masks": [mask]}
        output = self.layer(self.axes.from_keras(x), **keywords)
        if keywords and isinstance(self.layer, KerasNet):
            output, _ = output
        return [self.axes.to_keras(y) for y in flat(output)]

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
