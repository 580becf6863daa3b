"""Keras's layers that move pixels at random."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.keras.layers.images import value_range
from regtorch.keras.layers.random_images.base import RandomImages, chosen, drawn, factors
from regtorch.keras.layers.random_images.filters import blurred
from regtorch.keras.layers.random_images.sampling import Sampling, grid
from regtorch.keras.spec import Spec

__all__ = [
    "RandomElasticTransform",
    "RandomFlip",
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]


class RandomFlip(RandomImages):
    """Keras 3's RandomFlip: one draw for both directions; Keras 2 draws each."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        modes = {"horizontal": [-1], "vertical": [-2], "horizontal_and_vertical": [-1, -2]}
        self.dims = spec.one_of("mode", modes, "horizontal_and_vertical")
        self.version = spec.version

    def changed(self, x: Tensor) -> Tensor:
        for dims in [self.dims] if self.version == 3 else [[dim] for dim in self.dims]:
            x = torch.where(drawn(x) <= 0.5, x.flip(dims), x)
        return x


class _Affine(RandomImages):
    """Takes each pixel (column, row) from a linear map of it plus an offset."""

    centred = True  # the map leaves the centre where it is

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.sampling = Sampling(spec, "reflect", "wrap", "constant", "nearest")

    @abstractmethod
    def map(self, x: Tensor) -> Tensor:
        """A map (batch, 2, 2) for each image."""

    def offset(self, x: Tensor, matrix: Tensor) -> Tensor:
        """What is added, (batch, 2)."""
        centre = (x.new_tensor([x.shape[-1], x.shape[-2]]) - 1) / 2
        return centre - matrix @ centre if self.centred else torch.zeros_like(matrix[..., 0])

    def changed(self, x: Tensor) -> Tensor:
        matrix = self.map(x)
        offset = self.offset(x, matrix)
        columns, rows = grid(x)
        at = [
            matrix[:, i, 0, None, None] * columns + matrix[:, i, 1, None, None] * rows + offset[:, i, None, None]
            for i in range(2)
        ]
        return self.sampling(x, *at)


class RandomRotation(_Affine):
    """Keras's RandomRotation, by a factor of a full turn."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor = factors(spec, low=-1.0 if spec.version == 3 else None, high=1.0 if spec.version == 3 else None)

    def map(self, x: Tensor) -> Tensor:
        angle = drawn(x, *self.factor) * (2 * math.pi)
        return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


class RandomZoom(_Affine):
    """Keras's RandomZoom: distances to the centre grow by a factor; without `width_factor` both alike."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        high = 1.0 if spec.version == 3 else None
        self.height = factors(spec, "height_factor", high=high)
        self.width = None if spec.get("width_factor") is None else factors(spec, "width_factor", high=high)

    def map(self, x: Tensor) -> Tensor:
        rows = 1 + drawn(x, *self.height)
        columns = rows if self.width is None else 1 + drawn(x, *self.width)
        return _matrix(columns, 0 * rows, 0 * rows, rows)


class RandomTranslation(_Affine):
    """Keras's RandomTranslation, by factors of the height and the width."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        spec.get("factor")  # Keras does not use it
        self.height, self.width = factors(spec, "height_factor"), factors(spec, "width_factor")

    def map(self, x: Tensor) -> Tensor:
        return torch.eye(2, dtype=x.dtype, device=x.device).expand(x.shape[0], 2, 2)

    def offset(self, x: Tensor, matrix: Tensor) -> Tensor:
        columns, rows = drawn(x, *self.width) * x.shape[-1], drawn(x, *self.height) * x.shape[-2]
        return -torch.cat([columns, rows], 1)[..., 0, 0]


class RandomShear(_Affine):
    """Keras's RandomShear: columns move by a factor of the row, and rows by one of the column, from the first pixel."""

    centred = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.x, self.y = factors(spec, "x_factor", 0.0), factors(spec, "y_factor", 0.0)

    def map(self, x: Tensor) -> Tensor:
        side = torch.where(drawn(x) > 0.5, -1.0, 1.0).to(x.dtype)
        one = torch.ones_like(side)
        return _matrix(one, side * drawn(x, *self.x), side * drawn(x, *self.y), one)


class RandomPerspective(RandomImages):
    """Keras's RandomPerspective: each corner goes to up to `scale` / 2 of its coordinates further or nearer."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor, self.scale = factors(spec, default=1.0, low=0.0), spec.number("scale", 1.0, 0.0, 1.0)
        self.sampling = Sampling(spec, "constant", default="constant")

    def changed(self, x: Tensor) -> Tensor:
        right, bottom = x.shape[-1] - 1.0, x.shape[-2] - 1.0
        corners = x.new_tensor([[0, 0], [right, 0], [0, bottom], [right, bottom]]).expand(x.shape[0], 4, 2)
        moved = corners * (1 + (torch.rand_like(corners) - 0.5) * self.scale)
        a = _homography(moved, corners).view(-1, 8, 1, 1).unbind(1)
        columns, rows = grid(x)
        depth = a[6] * columns + a[7] * rows + 1.0
        at = ((a[i] * columns + a[i + 1] * rows + a[i + 2]) / depth for i in (0, 3))
        return torch.where(chosen(x, self.factor), self.sampling(x, *at), x)


class RandomElasticTransform(RandomImages):
    """Keras's RandomElasticTransform: moves each pixel by blurred noise, of one strength for the batch."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.factor, self.scale = factors(spec, default=1.0, low=0.0), factors(spec, "scale", 1.0, low=0.0)
        self.sampling = Sampling(spec, "reflect", "wrap", "constant", "nearest", "mirror")
        self.low, self.high = value_range(spec)

    def changed(self, x: Tensor) -> Tensor:
        strength = float(drawn(x[:1], *self.scale))
        if strength == 0:
            return x.clamp(self.low, self.high)
        height, width = x.shape[-2:]
        alpha, sigma = 0.1 * strength * max(height, width), 0.05 * strength * min(height, width)
        noise = torch.randn(x.shape[0], 2, height, width, dtype=x.dtype, device=x.device) * sigma
        moves = blurred(noise, int(6 * sigma) | 1, (sigma, sigma)) * alpha
        columns, rows = grid(x)
        y = self.sampling(x, columns + moves[:, 0], rows + moves[:, 1])
        return torch.where(chosen(x, self.factor), y, x).clamp(self.low, self.high)


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The maps [[a, b], [c, d]], from numbers of each image."""
    return torch.cat([a, b, c, d], 1).view(-1, 2, 2)


def _homography(points: Tensor, images: Tensor) -> Tensor:
    """The 8 numbers of the maps of four points to four others, (batch, 4, 2) each."""
    one = F.pad(points, (0, 1), value=1.0)
    none = torch.zeros_like(one)
    products = -images[..., None] * points[..., None, :]
    rows = [torch.cat([one, none, products[..., 0, :]], -1), torch.cat([none, one, products[..., 1, :]], -1)]
    return torch.linalg.solve(torch.stack(rows, 2).flatten(1, 2), images.flatten(1))
