"""Dense layers and embeddings."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = ["Dense", "Embedding"]


class Dense(nn.Linear):
    """Keras's Dense, over Keras's last axis, which is dim 1 of channels-first images."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        ndim = len(spec.shape)
        if ndim < 2:
            raise ValueError(f"it takes an input of two dims or more, received {spec.shape}")
        self.dim = spec.axes.dim(-1, ndim)
        super().__init__(spec.shape[self.dim], spec.size("units"), bias=spec.flag("use_bias", True))
        self.activation = spec.activation(ndim)

    def forward(self, input: Tensor) -> Tensor:
        if self.dim in (-1, input.ndim - 1):
            y = super().forward(input)
        else:
            y = F.linear(input.movedim(self.dim, -1), self.weight, self.bias).movedim(-1, self.dim)
        return self.activation(y)


class Embedding(nn.Embedding):
    """Keras's Embedding; as in Keras, the indices may be floats."""

    def __init__(self, spec: Spec) -> None:
        spec.get("input_length")
        super().__init__(spec.size("input_dim"), spec.size("output_dim"))
        self.axes, self.makes_masks = spec.axes, spec.flag("mask_zero")

    def output_masks(self, masks: Masks, input: Tensor) -> Tensor | None:
        """With `mask_zero`, index 0 does not count."""
        return self.axes.to_keras(input) != 0 if self.makes_masks else None

    def forward(self, input: Tensor) -> Tensor:
        return self.axes.from_keras(super().forward(self.axes.to_keras(input).long()))
