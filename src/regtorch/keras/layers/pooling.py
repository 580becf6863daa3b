"""Pooling with Keras's padding."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.layers.padding import pad_same
from regtorch.keras.masks import Masks
from regtorch.keras.spec import Spec

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]

_MAX: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEAN: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _Pooling(nn.Module):
    n: int

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.channels(self.n + 2)
        self.sequences = self.n == 1 and spec.axes.channels_last
        self.size = spec.sizes("pool_size", self.n, 2)
        self.strides = self.size if spec.get("strides") is None else spec.sizes("strides", self.n)
        self.same = spec.one_of("padding", {"valid": False, "same": True}, "valid")

    def forward(self, x: Tensor) -> Tensor:
        x = x.mT if self.sequences else x
        y = self.pool(x)
        return y.mT if self.sequences else y

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """Pool a channels-first tensor."""

    def padded(self, x: Tensor, value: float) -> Tensor:
        """`x` with Keras's padding."""
        if not self.same:
            return x
        x, padding = pad_same(x, self.size, self.strides, (1,) * self.n, value)
        return F.pad(x, [amount for p in reversed(padding) for amount in (p, p)], value=value) if any(padding) else x

    def extra_repr(self) -> str:
        return f"{self.size}, strides={self.strides}{', same' * self.same}"


class _Max(_Pooling):
    def pool(self, x: Tensor) -> Tensor:
        return _MAX[self.n](self.padded(x, -torch.inf), self.size, self.strides)


class _Average(_Pooling):
    def pool(self, x: Tensor) -> Tensor:
        y = self._mean(x)
        return y / self._mean(torch.ones_like(x[:1, :1])) if self.same else y  # Keras's mean leaves the padding out

    def _mean(self, x: Tensor) -> Tensor:
        return _MEAN[self.n](self.padded(x, 0.0), self.size, self.strides)


class MaxPooling1D(_Max):
    """Keras's MaxPooling1D, on (batch, steps, channels)."""

    n = 1


class MaxPooling2D(_Max):
    n = 2


class MaxPooling3D(_Max):
    n = 3


class AveragePooling1D(_Average):
    """Keras's AveragePooling1D, on (batch, steps, channels)."""

    n = 1


class AveragePooling2D(_Average):
    n = 2


class AveragePooling3D(_Average):
    n = 3


class _Global(nn.Module):
    n: int

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.channels(self.n + 2)
        channels = spec.axes.channel_dim(self.n + 2)
        self.dims = tuple(dim for dim in range(1, self.n + 2) if dim != channels)
        self.keepdims = spec.flag("keepdims")


class _GlobalMax(_Global):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(self.dims, self.keepdims)


class _GlobalAverage(_Global):
    def forward(self, x: Tensor, masks: Masks = ()) -> Tensor:
        """The mean of the positions that count."""
        mask = masks[0] if masks else None
        if mask is None:
            return x.mean(self.dims, self.keepdims)
        kept = mask.bool().unsqueeze(1 if self.dims == (2,) else -1)
        return torch.where(kept, x, 0).sum(self.dims, self.keepdims) / kept.to(x.dtype).sum(self.dims, self.keepdims)


class GlobalMaxPooling1D(_GlobalMax):
    """Keras's GlobalMaxPooling1D, on (batch, steps, channels)."""

    n = 1


class GlobalMaxPooling2D(_GlobalMax):
    n = 2


class GlobalMaxPooling3D(_GlobalMax):
    n = 3


class GlobalAveragePooling1D(_GlobalAverage):
    """Keras's GlobalAveragePooling1D, on (batch, steps, channels)."""

    n, takes_masks = 1, True


class GlobalAveragePooling2D(_GlobalAverage):
    n = 2


class GlobalAveragePooling3D(_GlobalAverage):
    n = 3
