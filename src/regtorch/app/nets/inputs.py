"""Checks of a net's inputs."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ["check_input", "check_input_shape"]


def check_input(net: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Check that a batch has the net's input shape.

    Raises:
        ValueError: It has another shape.
    """
    if x.shape[1:] != shape:
        expected = ", ".join(map(str, ("N", *shape)))
        hint = f"; the data modules adapt images with resize={list(shape)}." if len(shape) == 3 else ""
        raise ValueError(f"{net}: expected input ({expected}), received {tuple(x.shape)}{hint}")


def check_input_shape(net: str, shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """Check that a net's input shape is not smaller than its field of view.

    Args:
        net: The net's name, for the message.
        shape: Shape of the images, channels first.
        least: The smallest height and width for which the last feature map is not empty.

    Returns:
        The shape as a tuple.

    Raises:
        ValueError: It is not an image shape, or is too small.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"{net}: expected input_shape (channels, height, width), received {tuple(shape)}.")
    channels, height, width = shape
    if min(height, width) < least:
        raise ValueError(
            f"{net}: images of {height}×{width} are smaller than the net's field of view; "
            f"expected input_shape ({channels}, height, width) with both at least {least}."
        )
    return channels, height, width
