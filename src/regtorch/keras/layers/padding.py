"""Keras's "same" padding (⌈size / stride⌉ outputs, an odd zero at the end), and layers that pad and crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import shown
from regtorch.keras.quantity import is_size
from regtorch.keras.spec import Spec

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "length",
    "pad_same",
]


def length(size: int, kernel: int, stride: int, dilation: int, *, same: bool) -> int:
    """The number of outputs of a convolution along one dim."""
    return -(-(size if same else size - dilation * (kernel - 1)) // stride)


def same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding before and after one dim."""
    total = max(
        0, (length(size, kernel, stride, dilation, same=True) - 1) * stride + dilation * (kernel - 1) + 1 - size
    )
    return total // 2, total - total // 2


def pad_same(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], value: float = 0.0
) -> tuple[Tensor, tuple[int, ...]]:
    """Pad `x` if two sides differ or `value` is not 0; else leave it and return the padding of each dim."""
    pairs = [same(*numbers) for numbers in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    if value == 0 and all(before == after for before, after in pairs):
        return x, tuple(before for before, _ in pairs)
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return F.pad(x, flat, value=value) if any(flat) else x, (0,) * len(pairs)


class _PadOrCrop(nn.Module):
    """Pads or crops by one number, one for each dim, or a pair for each dim."""

    n: int
    key: str
    sign: int

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        spec.data_format()
        spec.channels(self.n + 2)
        self.pairs = _pairs(self.key, spec.require(self.key), self.n)
        self.sequences = self.n == 1 and spec.axes.channels_last

    def forward(self, x: Tensor) -> Tensor:
        x = x.mT if self.sequences else x
        x = F.pad(x, [self.sign * amount for pair in reversed(self.pairs) for amount in pair])
        return x.mT if self.sequences else x

    def extra_repr(self) -> str:
        return f"{self.key}={self.pairs}"


def _pairs(key: str, value: Any, n: int) -> list[tuple[int, int]]:
    values = [value] * n if type(value) is int else [value] if n == 1 else value
    pairs = [(v, v) if type(v) is int else v for v in values] if isinstance(values, list | tuple) else []
    good = [p for p in pairs if isinstance(p, list | tuple) and len(p) == 2 and all(is_size(v, 0) for v in p)]
    if len(pairs) != n or len(good) != n:
        raise ValueError(
            f"{key} must be a whole number of at least 0, {n} of them or {n} pairs of them, received {shown(value)}"
        )
    return [(before, after) for before, after in good]


class ZeroPadding1D(_PadOrCrop):
    n, key, sign = 1, "padding", 1


class ZeroPadding2D(_PadOrCrop):
    n, key, sign = 2, "padding", 1


class ZeroPadding3D(_PadOrCrop):
    n, key, sign = 3, "padding", 1


class Cropping1D(_PadOrCrop):
    n, key, sign = 1, "cropping", -1


class Cropping2D(_PadOrCrop):
    n, key, sign = 2, "cropping", -1


class Cropping3D(_PadOrCrop):
    n, key, sign = 3, "cropping", -1
