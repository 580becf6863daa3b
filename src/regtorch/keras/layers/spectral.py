"""A wrapper that divides a layer's kernel by its largest singular value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from regtorch.keras.layers.dot import EPSILON, unit
from regtorch.keras.spec import Spec
from regtorch.keras.variables import variables

__all__ = ["SpectralNormalization"]


class SpectralNormalization(nn.Module):
    """Keras's SpectralNormalization.

    Each call in training divides the kernel itself by an estimate of its largest singular value, from power iterations
    that go on from `vector_u`, before the layer is called; gradients are those of the divided kernel. In Keras with
    JAX they are those of the kernel before.
    """

    keras_parts: Mapping[str, str] = {"layer": "layer"}

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.get("layer")
        self.iterations = spec.size("power_iterations", 1)
        self.epsilon = EPSILON[spec.version]
        self.layer = spec.inner("layer", "layer", spec.shape)
        own = variables(self.layer)
        if not own or own[0].name not in ("kernel", "embeddings", "depthwise"):
            raise ValueError("its layer must have one kernel or embeddings")
        layer: Any = self.layer
        layer.register_buffer("vector_u", torch.empty(1, own[0].shape[-1]))
        layer.vector_u_at = 1 if spec.version == 3 else len(own)

    def forward(self, *inputs: Tensor) -> Any:
        if not self.training:
            return self.layer(*inputs)
        name = variables(self.layer)[0].attribute
        return functional_call(self.layer, {name: self._normalized()}, inputs)

    def _normalized(self) -> Tensor:
        """Divide the kernel.

        Returns:
            It as a tensor of its own, which a second call before the backward pass leaves as it is.
        """
        kernel = variables(self.layer)[0]
        weight = kernel.read(self.layer)
        with torch.no_grad():
            divided = weight / self._largest(kernel.to_keras(weight).flatten(0, -2)) if weight.any() else weight.clone()
            weight.copy_(divided)
        return cast(Tensor, _InPlaceOf.apply(weight, divided))

    def _largest(self, matrix: Tensor) -> Tensor:
        """The estimate of the largest singular value."""
        layer: Any = self.layer
        v = u = layer.vector_u
        for _ in range(self.iterations):
            v = unit(u @ matrix.T, (0, 1), self.epsilon)
            u = unit(v @ matrix, (0, 1), self.epsilon)
        layer.vector_u.copy_(u)
        return v @ matrix @ u.T


class _InPlaceOf(torch.autograd.Function):
    """Another tensor in a weight's place, whose gradient is the weight's."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, other: Tensor) -> Tensor:
        return other.view_as(other)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
