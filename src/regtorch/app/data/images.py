"""Convert images to one size and number of channels when a data set is loaded."""

import torch
from torch import Tensor

__all__ = ["adapt"]

_CHUNK = 4096  # images resized at a time, to limit the memory for intermediate floats


def adapt(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Convert images to a net's input shape.

    Resizing is bilinear with antialiasing; grey becomes RGB by repetition, RGB becomes grey by luminance.

    Args:
        images: (N, C, H, W), C = 1 or 3, uint8, float or bool.
        shape: The wanted (C, H, W), C = 1 or 3.

    Returns:
        Images of that shape in the same dtype, uint8 for bool; the same tensor if its shape is right.
    """
    if tuple(images.shape[1:]) == shape:
        return images
    from torchvision.transforms.v2 import functional as vision

    if images.dtype == torch.bool:  # interpolation would round to True or False
        images = images.to(torch.uint8).mul_(255)
    channels, *size = shape
    if images.shape[1] == 3 and channels == 1:
        images = vision.rgb_to_grayscale(images)
    if list(images.shape[2:]) != size:
        images = torch.cat([vision.resize(chunk, size, antialias=True) for chunk in images.split(_CHUNK)])
    if images.shape[1] == 1 and channels == 3:
        images = images.repeat(1, 3, 1, 1)
    return images
