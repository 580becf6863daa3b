"""Transposed convolutions with Keras's output sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.spec import Spec

if TYPE_CHECKING:
    _Base = nn.ConvTranspose2d
else:
    _Base = object  # the mixin precedes one of torch's transposed convolutions

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]

_CONV: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class _ConvTranspose(_Base):
    """The full transposed convolution, of which Keras keeps stride · input values ("same") or all ("valid")."""

    n: int

    def __init__(self, spec: Spec) -> None:
        spec.data_format()
        n = self.n
        self.sequences = n == 1 and spec.axes.channels_last
        self.same = spec.one_of("padding", {"valid": False, "same": True}, "valid")
        if spec.sizes("dilation_rate", n, 1) != (1,) * n:
            raise ValueError(f"dilation_rate={spec.get('dilation_rate')!r} is not supported")
        spec.only("groups", 1)  # in Keras 2's configs
        size: Any = spec.sizes("kernel_size", n)
        stride: Any = spec.sizes("strides", n, 1)
        bias = spec.flag("use_bias", True)
        super().__init__(spec.channels(n + 2), spec.size("filters"), size, stride, bias=bias)
        self.activation = spec.activation(n + 2)

    def forward(self, input: Tensor, output_size: None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Convolve, crop and activate; the output size follows from the input's."""
        x = input.mT if self.sequences else input
        y = _CONV[self.n](x, self.weight, None, self.stride)
        frame: list[int] = []
        for size, kernel, stride, full in zip(x.shape[2:], self.kernel_size, self.stride, y.shape[2:], strict=True):
            overlap = max(kernel - stride, 0)
            wanted = size * stride + (0 if self.same else overlap)
            crop = overlap // 2 if self.same else 0
            frame = [-crop, wanted - (full - crop), *frame]  # a stride above the kernel size pads zeros at the end
        y = F.pad(y, frame) if any(frame) else y
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * self.n)
        return self.activation(y.mT if self.sequences else y)


class Conv1DTranspose(_ConvTranspose, nn.ConvTranspose1d):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Keras's Conv1DTranspose, on (batch, steps, channels)."""

    n = 1


class Conv2DTranspose(_ConvTranspose, nn.ConvTranspose2d):  # pyright: ignore[reportIncompatibleMethodOverride]
    n = 2


class Conv3DTranspose(_ConvTranspose, nn.ConvTranspose3d):  # pyright: ignore[reportIncompatibleMethodOverride]
    n = 3
