"""Pooling to an output of a given size."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.spec import Spec

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
]


class _Adaptive(nn.Module):
    n: int
    pool: Any

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.require_dims(self.n + 2)
        self.sequences = self.n == 1 and spec.axes.channels_last
        self.size = spec.sizes("output_size", self.n)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(x.mT if self.sequences else x, self.size)
        return y.mT if self.sequences else y

    def extra_repr(self) -> str:
        return str(self.size)


class AdaptiveAveragePooling1D(_Adaptive):
    n, pool = 1, staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAveragePooling2D(_Adaptive):
    n, pool = 2, staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAveragePooling3D(_Adaptive):
    n, pool = 3, staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPooling1D(_Adaptive):
    n, pool = 1, staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPooling2D(_Adaptive):
    n, pool = 2, staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPooling3D(_Adaptive):
    n, pool = 3, staticmethod(F.adaptive_max_pool3d)
