"""Images at other coordinates, as Keras interpolates them and fills what is outside."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.spec import Spec

__all__ = ["Sampling", "grid"]

_PADDING = {"reflect": "reflection", "mirror": "reflection", "wrap": "border", "nearest": "border", "constant": "zeros"}


class Sampling:
    """A layer's settings `interpolation`, `fill_mode` and `fill_value`."""

    def __init__(self, spec: Spec, *modes: str, default: str = "reflect") -> None:
        """`modes` are the fill modes that the layer takes."""
        self.mode = spec.one_of("interpolation", {"bilinear": "bilinear", "nearest": "nearest"}, "bilinear")
        self.fill_mode = spec.one_of("fill_mode", {mode: mode for mode in modes}, default)
        self.fill = spec.number("fill_value", 0.0)

    def __call__(self, x: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
        """The images' values at coordinates (batch, height, width), counted in pixels from 0."""
        height, width = x.shape[-2:]
        if self.fill_mode == "wrap":
            rows, columns = rows % height, columns % width
            x = F.pad(x, (0, 1, 0, 1), mode="circular")
        # "reflect" doubles the pixels at the border, "mirror" does not.
        aligned = self.fill_mode == "mirror"
        at = torch.stack([_relative(columns, x.shape[-1], aligned), _relative(rows, x.shape[-2], aligned)], -1)
        fill = self.fill if self.fill_mode == "constant" else 0.0
        padding = _PADDING[self.fill_mode]
        return F.grid_sample(x - fill, at, self.mode, padding, align_corners=aligned) + fill


def grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """The column and the row of each pixel, (1, 1, width) and (1, height, 1)."""
    height, width = x.shape[-2:]
    columns = torch.arange(width, dtype=x.dtype, device=x.device).view(1, 1, -1)
    return columns, torch.arange(height, dtype=x.dtype, device=x.device).view(1, -1, 1)


def _relative(at: Tensor, size: int, aligned: bool) -> Tensor:
    """Pixels in the units of `grid_sample`, from -1 to 1."""
    return 2 * at / max(size - 1, 1) - 1 if aligned else (2 * at + 1) / size - 1
