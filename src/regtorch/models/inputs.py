"""The check of a net's input that every model makes."""

from torch import Tensor

__all__ = ["check_input"]


def check_input(net: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a batch whose samples have another shape than the net was made for.

    Args:
        net: The net's name, for the message.
        x: The batch.
        shape: One sample's shape.

    Raises:
        ValueError: The shapes differ.
    """
    if x.shape[1:] != shape:
        expected = ", ".join(map(str, ("N", *shape)))
        raise ValueError(
            f"{net}: expected input ({expected}), received {tuple(x.shape)}; "
            f"the data modules adapt images with resize={list(shape)}."
        )
