"""Dense layers and embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.dtypes import as_floats
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["Dense", "Embedding", "ReversibleEmbedding"]


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
        input = as_floats(input, self.weight.dtype)
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


class ReversibleEmbedding(nn.Module):
    """Keras's ReversibleEmbedding: with reverse=True it gives the logits of every index."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        size, width = spec.size("input_dim"), spec.size("output_dim")
        self.axes, self.makes_masks = spec.axes, spec.flag("mask_zero")
        self.cap = None if spec.get("logit_soft_cap") is None else spec.number("logit_soft_cap")
        self.embeddings = nn.Parameter(torch.empty(size, width))
        tied = spec.flag("tie_weights", True)
        self.reverse_embeddings = None if tied else nn.Parameter(torch.empty(width, size))
        self.first = spec.get("embeddings_initializer", "uniform")

    def keras_variables(self) -> list[Variable]:
        return held(self, embeddings="uniform", reverse_embeddings=self.first)

    def output_masks(self, masks: Masks, input: Tensor) -> Tensor | None:
        """Index 0 does not count with `mask_zero`; logits have no mask."""
        return self.axes.to_keras(input) != 0 if self.makes_masks and not input.is_floating_point() else None

    def forward(self, input: Tensor, reverse: bool = False) -> Tensor:
        x = self.axes.to_keras(input)
        if not reverse:
            if self.makes_masks and x.is_floating_point():
                raise ValueError("mask_zero=True needs whole numbers as inputs, received floats")
            return self.axes.from_keras(F.embedding(x.long(), self.embeddings))
        y = x @ (self.embeddings.T if self.reverse_embeddings is None else self.reverse_embeddings)
        return self.axes.from_keras(y if self.cap is None else (y / self.cap).tanh() * self.cap)
