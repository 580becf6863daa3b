"""Transposed convolutions with Keras's output sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec

if TYPE_CHECKING:
    _Base = nn.ConvTranspose2d
else:
    _Base = object  # the mixin precedes one of torch's transposed convolutions

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]

_CONV: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class _ConvTranspose(_Base):
    """The full transposed convolution, cropped and padded to Keras's output size.

    That is stride · input ("same") or all ("valid"); with `output_padding` it is (input - 1) · stride + output_padding,
    and the kernel's size modulo 2 ("same") or the kernel's size ("valid").
    """

    n: int

    def __init__(self, spec: Spec) -> None:
        spec.data_format()
        n = self.n
        self.sequences = n == 1 and spec.axes.channels_last
        self.same = spec.one_of("padding", {"valid": False, "same": True}, "valid")
        dilation: Any = spec.sizes("dilation_rate", n, 1)
        self.extra = _output_padding(spec, n)
        spec.only("groups", 1)  # in Keras 2's configs
        size: Any = spec.sizes("kernel_size", n)
        stride: Any = spec.sizes("strides", n, 1)
        bias = spec.flag("use_bias", True)
        if max(stride) > 1 and max(dilation) > 1:
            raise ValueError(f"strides={stride} with dilation_rate={dilation} is not supported, nor in Keras")
        if any(extra is not None and extra >= step for extra, step in zip(self.extra, stride, strict=True)):
            raise ValueError(f"output_padding={self.extra} must be less than strides={stride}")
        super().__init__(spec.channels(n + 2), spec.size("filters"), size, stride, bias=bias, dilation=dilation)
        self.activation = spec.activation(n + 2)

    def forward(self, input: Tensor, output_size: None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Convolve, crop and activate; the output size follows from the input's."""
        x = input.mT if self.sequences else input
        y = _CONV[self.n](x, self.weight, None, self.stride, dilation=self.dilation)
        frame: list[int] = []
        for kernel, stride, dilation, extra in zip(
            self.kernel_size, self.stride, self.dilation, self.extra, strict=True
        ):
            frame = [*_frame((kernel - 1) * dilation + 1, stride, extra, self.same), *frame]
        y = F.pad(y, frame) if any(frame) else y
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * self.n)
        return self.activation(y.mT if self.sequences else y)


def _output_padding(spec: Spec, n: int) -> tuple[int | None, ...]:
    value = spec.get("output_padding")
    values = [value] * n if value is None or type(value) is int else value
    if not (isinstance(values, list | tuple) and len(values) == n and all(v is None or is_size(v, 0) for v in values)):
        raise ValueError(f"output_padding must be one or {n} whole numbers of at least 0, received {shown(value)}")
    return tuple(values)


def _frame(kernel: int, stride: int, extra: int | None, same: bool) -> tuple[int, int]:
    """How many zeros are added before and after one dim of the full convolution; those cropped are below 0."""
    if not same:
        return 0, max(kernel, stride) - kernel if extra is None else extra
    total = stride + kernel - 2 if extra is None else kernel + kernel % 2 - 2 + extra
    before = min(total - total // 2, kernel - 1)
    return before - (kernel - 1), total - before - (kernel - 1)


class Conv1DTranspose(_ConvTranspose, nn.ConvTranspose1d):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Keras's Conv1DTranspose, on (batch, steps, channels)."""

    n = 1


class Conv2DTranspose(_ConvTranspose, nn.ConvTranspose2d):  # pyright: ignore[reportIncompatibleMethodOverride]
    n = 2


class Conv3DTranspose(_ConvTranspose, nn.ConvTranspose3d):  # pyright: ignore[reportIncompatibleMethodOverride]
    n = 3
