"""Keras 2's RandomFourierFeatures."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.dtypes import as_floats, dtype_of
from regtorch.keras.spec import Spec
from regtorch.keras.variables import Variable, held

__all__ = ["RandomFourierFeatures"]

_UNIFORM = {"class_name": "RandomUniform", "config": {"minval": 0.0, "maxval": 2 * math.pi}}
_NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 1.0}}


def _cauchy(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return ((torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5) * math.pi).tan()


class RandomFourierFeatures(nn.Module):
    """cos(x W / s + b), whose W and b stay as they were drawn; s trains if the layer does, and is at least 0."""

    keras_order = True

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.require_dims(2)
        if dtype_of(spec.config) not in (None, torch.float32):
            raise ValueError(f"dtype={dtype_of(spec.config)} is not supported: Keras computes the layer in float32")
        size, width, given = spec.shape[1], spec.size("output_dim"), spec.get("kernel_initializer", "gaussian")
        known = given.lower() if isinstance(given, str) else None
        if isinstance(given, str) and known not in ("gaussian", "laplacian"):
            raise ValueError(f"kernel_initializer={shown(given)} must be 'gaussian', 'laplacian' or an initializer")
        self.initializer: Any = {"gaussian": _NORMAL, "laplacian": _cauchy}.get(known or "", given)
        scale = math.sqrt(size / 2) if known == "gaussian" else 1.0
        self.scale = scale if spec.get("scale") is None else spec.number("scale", low=0.0)
        if not self.scale:
            raise ValueError("scale must be above 0, received 0")
        self.kernel_scale = nn.Parameter(torch.empty(1), requires_grad=spec.flag("trainable", False))
        self.register_buffer("unscaled_kernel", torch.empty(size, width))
        self.register_buffer("bias", torch.empty(width))

    def keras_variables(self) -> list[Variable]:
        scale: Any = {"class_name": "Constant", "config": {"value": self.scale}}
        found = held(self, kernel_scale=scale, unscaled_kernel=self.initializer, bias=_UNIFORM)
        return [found[0].constrained("non_neg"), *found[1:]]

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.get_buffer("unscaled_kernel") * (1 / self.kernel_scale)
        return F.linear(as_floats(x, kernel.dtype), kernel.mT, self.get_buffer("bias")).cos()
