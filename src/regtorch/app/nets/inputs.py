"""The checks of a net's input that every model makes."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ["check_input", "check_input_shape"]


def check_input(net: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a batch whose samples do not have the net's input shape.

    Raises:
        ValueError: The shapes differ.
    """
    if x.shape[1:] != shape:
        expected = ", ".join(map(str, ("N", *shape)))
        hint = f"; the data modules adapt images with resize={list(shape)}." if len(shape) == 3 else ""
        raise ValueError(f"{net}: expected input ({expected}), received {tuple(x.shape)}{hint}")


def check_input_shape(net: str, shape: Sequence[int], least: int = 1) -> tuple[int, int, int]:
    """Refuse to make a net for images that are smaller than its field of view.

    Args:
        net: The net's name, for the message.
        shape: The shape of the images, channels first.
        least: The smallest height and width that leave its last feature map a pixel.

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
