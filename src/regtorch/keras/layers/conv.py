"""Convolutions with Keras's padding and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.keras.layers.padding import pad_same
from regtorch.keras.layout import faster_channels_last
from regtorch.keras.spec import Spec

if TYPE_CHECKING:
    from torch.nn.modules.conv import _ConvNd as _Base
else:
    _Base = object  # the mixins below precede one of torch's convolutions

__all__ = ["Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class _Conv(_Base):
    """A mixin for torch's convolutions: Keras's settings, padding and layout of sequences."""

    n: int
    activated = True

    def __init__(self, spec: Spec) -> None:
        spec.data_format()
        n = self.n
        self.sequences = n == 1 and spec.axes.channels_last
        paddings = {"valid": "valid", "same": "same"} | ({"causal": "causal"} if n == 1 else {})
        self.keras_padding = spec.one_of("padding", paddings, "valid")
        channels = spec.channels(n + 2)
        super().__init__(
            channels,
            kernel_size=spec.sizes("kernel_size", n),
            stride=spec.sizes("strides", n, 1),
            dilation=spec.sizes("dilation_rate", n, 1),
            **self.widths(spec, channels),
        )
        self.activation = spec.activation(n + 2) if self.activated else nn.Identity()

    def widths(self, spec: Spec, channels: int) -> dict[str, Any]:
        """The arguments for output channels, groups and bias."""
        return {
            "out_channels": spec.size("filters"),
            "groups": spec.size("groups", 1),
            "bias": spec.flag("use_bias", True),
        }

    def forward(self, input: Tensor) -> Tensor:
        if not self.sequences:
            return self.activation(self._convolved(input))
        if not faster_channels_last(input):
            return self.activation(self._convolved(input.mT).mT)
        # Images of height 1, channels last in memory as the sequences are.
        y = self._convolved(input.unsqueeze(1).movedim(-1, 1))
        return self.activation(y.movedim(1, -1).squeeze(1))

    def _convolved(self, x: Tensor) -> Tensor:
        """The convolution of (batch, channels, *sizes); of sequences also as images of height 1."""
        n = x.ndim - 2
        size, stride, dilation = ((1,) * (n - self.n) + step for step in (self.kernel_size, self.stride, self.dilation))
        padding: Any = 0
        if self.keras_padding == "same":
            x, padding = pad_same(x, size, stride, dilation)
        elif self.keras_padding == "causal":
            x = F.pad(x, (dilation[-1] * (size[-1] - 1), 0))
        weight = self.weight if n == self.n else self.weight.unsqueeze(2)
        return _CONV[n](x, weight, self.bias, stride, padding, dilation, self.groups)


class Conv1D(_Conv, nn.Conv1d):
    """Keras's Conv1D, on (batch, steps, channels)."""

    n = 1


class Conv2D(_Conv, nn.Conv2d):
    n = 2


class Conv3D(_Conv, nn.Conv3d):
    n = 3


class _Depthwise(_Conv):
    kernel_name = "depthwise"

    def widths(self, spec: Spec, channels: int) -> dict[str, Any]:
        """One group for each channel."""
        spec.only("groups", 1)
        return {
            "out_channels": channels * spec.size("depth_multiplier", 1),
            "groups": channels,
            "bias": spec.flag("use_bias", True),
        }


class DepthwiseConv1D(_Depthwise, nn.Conv1d):
    """Keras's DepthwiseConv1D, on (batch, steps, channels)."""

    n = 1


class DepthwiseConv2D(_Depthwise, nn.Conv2d):
    n = 2


class _SeparableDepthwise(_Depthwise):
    activated = False

    def widths(self, spec: Spec, channels: int) -> dict[str, Any]:
        """No bias: the pointwise kernel has it."""
        return super().widths(spec, channels) | {"bias": False}


class Depthwise1D(_SeparableDepthwise, nn.Conv1d):
    """The first kernel of a SeparableConv1D."""

    n = 1


class Depthwise2D(_SeparableDepthwise, nn.Conv2d):
    """The first kernel of a SeparableConv2D."""

    n = 2


class Pointwise1D(nn.Conv1d):
    """The second kernel of a SeparableConv1D."""

    kernel_name = "pointwise"


class Pointwise2D(nn.Conv2d):
    """The second kernel of a SeparableConv2D."""

    kernel_name = "pointwise"


class _Separable(nn.Module):
    depthwise_type: type[nn.Conv1d] | type[nn.Conv2d]
    pointwise_type: type[nn.Conv1d] | type[nn.Conv2d]

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.depthwise: Any = self.depthwise_type(spec)  # pyright: ignore[reportCallIssue]  # made by _Conv
        self.pointwise = self.pointwise_type(self.depthwise.out_channels, spec.size("filters"), 1)
        if not spec.flag("use_bias", True):
            self.pointwise.register_parameter("bias", None)
        self.activation = spec.activation(self.depthwise.n + 2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the depthwise kernel, then the pointwise one."""
        y = self.depthwise(x)
        y = self.pointwise(y.mT).mT if self.depthwise.sequences else self.pointwise(y)
        return self.activation(y)


class SeparableConv1D(_Separable):
    """Keras's SeparableConv1D, on (batch, steps, channels)."""

    depthwise_type, pointwise_type = Depthwise1D, Pointwise1D


class SeparableConv2D(_Separable):
    depthwise_type, pointwise_type = Depthwise2D, Pointwise2D
