"""Operations of `keras.ops.image` on images in Keras's order of dims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.layers.operations.operation import Make, of_floats, operation
from regtorch.keras.layers.padding import pad_same
from regtorch.keras.layers.resampling import INTERPOLATIONS, resize

__all__ = ["IMAGES"]


def _channels_first(function: Callable[..., Tensor], x: Tensor, data_format: str | None = None, **given: Any) -> Tensor:
    """A function of channels-first images, one of them or a batch."""
    if x.ndim not in (3, 4):
        raise ValueError(f"it takes an image of 3 dims or a batch of 4, received {x.ndim} dims")
    return (
        function(x, **given)
        if data_format == "channels_first"
        else function(x.movedim(-1, -3), **given).movedim(-3, -1)
    )


def _resize(
    x: Tensor,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    """`fill_mode` and `fill_value` are for padding."""
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        raise ValueError("crop_to_aspect_ratio and pad_to_aspect_ratio are not supported; a Resizing layer has both")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation={interpolation!r} is not supported; supported are {', '.join(INTERPOLATIONS)}")
    return resize(x, (size[0], size[1]), interpolation, antialias)


def _grayscale(x: Tensor) -> Tensor:
    """0.2989 of red, 0.587 of green and 0.114 of blue."""
    if x.shape[-3] == 1:
        return x
    red, green, blue = x.unbind(-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(-3)


def _patches(
    x: Tensor, size: int | Sequence[int], strides: Any = None, dilation_rate: Any = 1, padding: str = "valid"
) -> Tensor:
    """The values of each patch as channels: its rows, their pixels, and the channels of those."""
    height, width = _pair(size)
    steps, apart = _pair(size if strides is None else strides), _pair(dilation_rate)
    batch = x if x.ndim == 4 else x[None]
    if padding == "same":
        batch, around = pad_same(batch, (height, width), steps, apart)
        batch = F.pad(batch, [n for p in reversed(around) for n in (p, p)])
    high, wide = (
        (n - a * (s - 1) - 1) // step + 1
        for n, a, s, step in zip(batch.shape[-2:], apart, (height, width), steps, strict=True)
    )
    parts = F.unfold(batch, (height, width), apart, 0, steps).unflatten(1, (-1, height * width)).transpose(1, 2)
    y = parts.flatten(1, 2).unflatten(-1, (high, wide))
    return y if x.ndim == 4 else y[0]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _cut(first: int | None, last: int | None, target: int | None, size: int) -> tuple[int, int]:
    """How much is cut off before and after, of which and of the size that is left two are given."""
    if target is None:
        return first or 0, last or 0
    first = size - target - (last or 0) if first is None else first
    return first, size - target - first


def _added(first: int | None, last: int | None, target: int | None, size: int) -> tuple[int, int]:
    """The same of what is added."""
    top, bottom = _cut(None if first is None else -first, None if last is None else -last, target, size)
    return -top, -bottom


def _crop(
    x: Tensor,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
) -> Tensor:
    top, bottom = _cut(top_cropping, bottom_cropping, target_height, x.shape[-2])
    left, right = _cut(left_cropping, right_cropping, target_width, x.shape[-1])
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def _pad(
    x: Tensor,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
) -> Tensor:
    top, bottom = _added(top_padding, bottom_padding, target_height, x.shape[-2])
    left, right = _added(left_padding, right_padding, target_width, x.shape[-1])
    return F.pad(x, [left, right, top, bottom])


_SIDES = ("top", "left", "bottom", "right")
_TARGETS = ("target_height", "target_width")
_SETTINGS = {
    "Resize": (
        partial(of_floats, partial(_channels_first, _resize)),
        *("size", "interpolation", "antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"),
        *("fill_mode", "fill_value"),
    ),
    "RGBToGrayscale": (partial(of_floats, partial(_channels_first, _grayscale)),),
    "ExtractPatches": (
        partial(of_floats, partial(_channels_first, _patches)),
        "size",
        "strides",
        "dilation_rate",
        "padding",
    ),
    "CropImages": (partial(_channels_first, _crop), *(f"{side}_cropping" for side in _SIDES), *_TARGETS),
    "PadImages": (partial(_channels_first, _pad), *(f"{side}_padding" for side in _SIDES), *_TARGETS),
}

IMAGES: Mapping[str, Make] = {
    name: operation(function, *settings, "data_format") for name, (function, *settings) in _SETTINGS.items()
}
