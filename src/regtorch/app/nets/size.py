"""A net's size as Keras reports it."""

from torch import nn

__all__ = ["count"]


def count(net: nn.Module) -> tuple[int, int]:
    """Count a net's parameters as Keras's `model.summary()` does.

    Args:
        net: Any net; tied weights count once.

    Returns:
        All parameters, moving statistics included, and the trainable ones.

    Example:
        >>> count(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
        (16, 12)
    """
    parameters = sum(parameter.numel() for parameter in net.parameters())
    moving = sum(buffer.numel() for buffer in net.buffers() if buffer.is_floating_point())
    trainable = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    return parameters + moving, trainable
