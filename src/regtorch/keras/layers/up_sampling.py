"""Upsampling by whole factors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.layers.resampling import INTERPOLATIONS, resize
from regtorch.keras.spec import Spec

__all__ = ["UpSampling1D", "UpSampling2D", "UpSampling3D"]


class UpSampling1D(nn.Module):
    """Keras's UpSampling1D, on (batch, steps, channels)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.require_dims(3)
        self.size = spec.size("size", 2)

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.size, dim=1)


class UpSampling2D(nn.Module):
    """Keras's UpSampling2D."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.channels(4)
        self.size = spec.sizes("size", 2, 2)
        self.mode = spec.one_of("interpolation", {name: name for name in INTERPOLATIONS}, "nearest")

    def forward(self, x: Tensor) -> Tensor:
        if self.mode in ("nearest", "bilinear"):  # torch's and Keras's are the same
            return F.interpolate(x, scale_factor=[float(n) for n in self.size], mode=self.mode)
        return resize(x, (x.shape[2] * self.size[0], x.shape[3] * self.size[1]), self.mode)

    def extra_repr(self) -> str:
        return f"{self.size}, {self.mode}"


class UpSampling3D(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.channels(5)
        self.size = spec.sizes("size", 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=[float(n) for n in self.size], mode="nearest")

    def extra_repr(self) -> str:
        return str(self.size)
