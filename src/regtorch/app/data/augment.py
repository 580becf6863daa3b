"""Random augmentation of training batches, with the settings of Keras's ImageDataGenerator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.checks import flag, nonnegative, number, one_of
from regtorch.shapes import Bool, Float

__all__ = ["Augment", "Changes", "affine", "channel_shift"]


class Changes(NamedTuple):
    """The change of each image in a batch."""

    theta: Float[Tensor, " batch"]
    tx: Float[Tensor, " batch"]
    ty: Float[Tensor, " batch"]
    shear: Float[Tensor, " batch"]
    zx: Float[Tensor, " batch"]
    zy: Float[Tensor, " batch"]
    channel_shift: Float[Tensor, " batch"]
    flip_horizontal: Bool[Tensor, " batch"]
    flip_vertical: Bool[Tensor, " batch"]


class Augment(nn.Module):
    """Changes every image of a training batch at random; the identity in eval mode.

    Each image draws its own parameters, uniformly and on its device: an affine map (rotation, shifts, shear, zoom),
    then a number that is added to all channels, clipped to the image's previous range, then flips. Shifts act along
    the axis they name, and the map's centre is the image's, as Keras documents; its code (2.14 and 3) swaps the two
    shifts and the centre's coordinates. Random numbers come from PyTorch's global generator of the device.

    Args:
        rotation: The largest angle in either direction, in degrees, at most 360.
        width_shift: The largest shift to the left or right, a fraction of the width below 1.
        height_shift: The largest shift up or down, a fraction of the height below 1.
        shear: The largest shear in either direction, in degrees, below 90.
        zoom: Each axis shrinks by its own factor from 1 - zoom to 1 + zoom, or from low to high of a pair.
        horizontal_flip: Whether half of the images are mirrored left to right.
        vertical_flip: Whether half of the images are mirrored top to bottom.
        channel_shift: The largest number added or subtracted, in the images' units, which are 0 to 1: Keras's
            0.2 * 255 before its rescale is 0.2 here.
        fill: The values outside the image: "nearest" extends its border.

    >>> augment = Augment(rotation=15, width_shift=0.1, height_shift=0.1, horizontal_flip=True)
    >>> augment(torch.rand(8, 3, 32, 32)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        rotation: float = 0,
        width_shift: float = 0.0,
        height_shift: float = 0.0,
        shear: float = 0,
        zoom: float | Sequence[float] = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        channel_shift: float = 0.0,
        fill: str = "nearest",
    ) -> None:
        super().__init__()
        one_of("Augment", "fill", fill, ("nearest",))
        pixels = "give pixels as a fraction of the image's size"
        self.rotation = _below("rotation", rotation, 360, "give degrees", inclusive=True)
        self.width_shift = _below("width_shift", width_shift, 1, pixels)
        self.height_shift = _below("height_shift", height_shift, 1, pixels)
        self.shear = _below("shear", shear, 90, "give degrees")
        self.zoom = _zoom(zoom)
        self.horizontal_flip = flag("Augment", "horizontal_flip", horizontal_flip)
        self.vertical_flip = flag("Augment", "vertical_flip", vertical_flip)
        self.channel_shift = _below("channel_shift", channel_shift, 1, "images are 0 to 1", inclusive=True)
        self._maps = any((self.rotation, self.width_shift, self.height_shift, self.shear)) or self.zoom != (1, 1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Change the images in training mode; return them unchanged in eval mode.

        Raises:
            TypeError: They are not floating-point numbers.
            ValueError: They are not a batch of images.
        """
        if not x.is_floating_point():
            raise TypeError(f"Augment: x must be floats of 0 to 1, received {x.dtype}; divide pixels by 255 first")
        if x.ndim != 4:
            raise ValueError(f"Augment: x must be (batch, channels, height, width), received {tuple(x.shape)}")
        if not self.training or x.numel() == 0:
            return x
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision is too coarse for pixel positions
        return self.change(wide, self.draw(wide)).to(x.dtype)

    def draw(self, x: Float[Tensor, "batch channels height width"]) -> Changes:
        """Draw the changes of a batch by one call of the generator, without synchronizing the device."""
        uniform = torch.rand(9, len(x), dtype=x.dtype, device=x.device)
        signed = 2 * uniform - 1
        height, width = x.shape[2:]
        low, high = self.zoom
        return Changes(
            theta=self.rotation * signed[0],
            tx=self.width_shift * width * signed[1],
            ty=self.height_shift * height * signed[2],
            shear=self.shear * signed[3],
            zx=low + (high - low) * uniform[4],
            zy=low + (high - low) * uniform[5],
            channel_shift=self.channel_shift * signed[6],
            flip_horizontal=(uniform[7] < 0.5) & self.horizontal_flip,
            flip_vertical=(uniform[8] < 0.5) & self.vertical_flip,
        )

    def change(
        self, x: Float[Tensor, "batch channels height width"], changes: Changes
    ) -> Float[Tensor, "batch channels height width"]:
        """Apply the enabled changes to the images."""
        if self._maps:
            x = affine(x, *changes[:6])
        if self.channel_shift:
            x = channel_shift(x, changes.channel_shift)
        if self.horizontal_flip:
            x = torch.where(_per_image(changes.flip_horizontal), x.flip(3), x)
        if self.vertical_flip:
            x = torch.where(_per_image(changes.flip_vertical), x.flip(2), x)
        return x


def affine(
    x: Float[Tensor, "batch channels height width"],
    theta: Float[Tensor, " batch"],
    tx: Float[Tensor, " batch"],
    ty: Float[Tensor, " batch"],
    shear: Float[Tensor, " batch"],
    zx: Float[Tensor, " batch"],
    zy: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Apply to each image its rotation · shift · shear · zoom about its centre, as Keras's apply_affine_transform.

    The map takes a pixel of the result to the position in the image from which it is interpolated bilinearly; outside,
    the border is extended. So positive shifts move the content left and up, and a zoom below 1 enlarges it.

    Args:
        x: Images, float32 or float64.
        theta: Degrees.
        tx: Pixels along the width.
        ty: Pixels along the height.
        shear: Degrees.
        zx: Along the width.
        zy: Along the height.
    """
    height, width = x.shape[2:]
    turn, lean = torch.deg2rad(theta), torch.deg2rad(theta + shear)
    cos, sin = turn.cos(), turn.sin()
    # The product of the matrices, in units of half the image's sides, with the origin at its centre, size / 2 - 0.5.
    across = [cos * zx, -lean.sin() * zy * (height / width), (cos * tx - sin * ty) * (2 / width)]
    down = [sin * zx * (width / height), lean.cos() * zy, (sin * tx + cos * ty) * (2 / height)]
    matrices = torch.stack(across + down, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def channel_shift(
    x: Float[Tensor, "batch channels height width"], intensity: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Add a number to each image, clipped to the image's smallest and largest value."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x + _per_image(intensity)).clamp(low, high)


def _per_image(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1, 1)


def _below(argument: str, value: object, limit: float, hint: str, *, inclusive: bool = False) -> float:
    return number("Augment", argument, value, hint, low=0, high=limit, below=not inclusive)


def _zoom(zoom: float | Sequence[float]) -> tuple[float, float]:
    if not isinstance(zoom, Sequence) or isinstance(zoom, str):
        largest = _below("zoom", zoom, 1, "for more, give a pair (low, high)")
        return 1 - largest, 1 + largest
    ends = tuple(nonnegative("Augment", "zoom", end, "1 keeps the size") for end in zoom)
    if len(ends) != 2 or not 0 < ends[0] <= ends[1]:
        raise ValueError(f"Augment: zoom must be a number or (low, high), 0 < low <= high, received {tuple(zoom)}")
    return ends[0], ends[1]
