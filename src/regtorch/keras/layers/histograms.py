"""Layers that make the values of images equally frequent."""

from __future__ import annotations

import torch
from torch import Tensor

from regtorch.keras.layers.images import ImageLayer, value_range
from regtorch.keras.spec import Spec

__all__ = ["ContrastLimitedAdaptiveHistogramEqualization", "Equalization"]


class Equalization(ImageLayer):
    """Keras's Equalization: in training, over the whole batch, each channel's values become equally frequent."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.low, self.high = value_range(spec)
        self.bins = spec.size("bins", 256)

    def forward(self, x: Tensor) -> Tensor:
        """A channel of equal values stays as it is, and in evaluation all do."""
        x = self.floating(x)
        if not self.training:
            return x
        scale, back = 255 / (self.high - self.low), (self.high - self.low) / 255
        values = x * scale + (0 - self.low * scale)
        return torch.stack([self._channel(channel) for channel in values.unbind(1)], 1) * back + self.low

    def _channel(self, values: Tensor) -> Tensor:
        """The steps are Keras's, whose rounding decides which bin a value at its border has."""
        last = self.bins - 1
        counted = (values.float() * last / 255).long().clamp(0, last)
        counts = torch.bincount(counted.flatten(), minlength=self.bins)
        below = counts.cumsum(0)
        least = below[below > 0][0]
        table = ((below - least) * 255 / (below[-1] - least).clamp(min=1)).round().clamp(0, 255).to(values.dtype)
        equal = table[(values / 255 * last).clamp(0, last).long()]
        return torch.where(counts.count_nonzero() <= 1, values, equal)


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Keras's ContrastLimitedAdaptiveHistogramEqualization, in training and evaluation.

    Each tile of an image has a curve from values to their frequency, whose slope is limited; a pixel's value is
    interpolated between the curves of the four tiles around it. As with JAX and TensorFlow the limit is any number.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        self.low, self.high = value_range(spec)
        self.limit, self.tiles = spec.number("clip_limit", 4.0), spec.sizes("tile_grid_size", 2, (8, 8))

    def forward(self, x: Tensor) -> Tensor:
        """The equalized images."""
        x = self.floating(x)
        (height, width), (down, across) = x.shape[-2:], self.tiles
        high, wide = -(-height // down), -(-width // across)
        values = (x - self.low) / (self.high - self.low) * 255
        values = values.index_select(2, _mirrored(height, high * down, x.device))
        values = values.index_select(3, _mirrored(width, wide * across, x.device))
        levels = values.clamp(0, 255).long()
        tiles = levels.unflatten(3, (across, wide)).unflatten(2, (down, high)).transpose(3, 4).flatten(-2)
        curves = self._curves(tiles).to(x.dtype)
        rows, columns = _between(high, down, x), _between(wide, across, x)
        batch, channel = (torch.arange(n, device=x.device) for n in x.shape[:2])
        at = batch.view(-1, 1, 1, 1), channel.view(-1, 1, 1)
        y = torch.zeros_like(values)
        for row, by_row in rows:
            for column, by_column in columns:
                y = y + curves[*at, row[:, None], column, levels] * by_row[:, None] * by_column
        return y[..., :height, :width] / 255 * (self.high - self.low) + self.low

    def _curves(self, tiles: Tensor) -> Tensor:
        """The curve (256) of each tile; `tiles` has their levels in its last dim."""
        size = tiles.shape[-1]
        counts = torch.zeros(*tiles.shape[:-1], 256, device=tiles.device)
        counts.scatter_add_(-1, tiles, torch.ones_like(tiles, dtype=counts.dtype))
        if self.limit > 0:
            limited = counts.clamp(max=self.limit * size / 256)
            counts = limited + (counts - limited).sum(-1, keepdim=True) / 256
        below = counts.cumsum(-1)
        least = below.amin(-1, keepdim=True)
        spread = torch.where(below.new_tensor(size) == least, 1.0, size - least)
        return ((below - least) * 255 / spread).clamp(0, 255)


def _mirrored(size: int, to: int, device: torch.device) -> Tensor:
    """Indices that lengthen a side by its mirror image, with its last pixel twice."""
    at = torch.arange(to, device=device) % (2 * size)
    return torch.minimum(at, 2 * size - 1 - at)


def _between(size: int, count: int, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The tile before and after each pixel of a side, and the weight of each; at the ends there is only one."""
    at = (torch.arange(size * count, dtype=x.dtype, device=x.device) - size / 2) / size
    before = at.floor()
    after = at - before
    tiles = (before + shift for shift in (0, 1))
    first, second = (tile.clamp(0, count - 1).long() for tile in tiles)
    return [(first, 1 - after), (second, after)]
