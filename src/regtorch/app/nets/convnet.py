"""A convolutional net for images of any size."""

from collections.abc import Sequence

from torch import Tensor, nn

from regtorch.app.nets.inputs import check_input, check_input_shape
from regtorch.checks import integer
from regtorch.init import keras_init_

__all__ = ["ConvNet"]

_SMALLEST = 8  # the least side that is halved once more
_MOST = 4  # blocks that halve


class ConvNet(nn.Module):
    """Convolutions that halve images of any size, then the mean of each channel: few parameters, no fixed size.

    Blocks of Conv 3×3 - BatchNorm - relu - MaxPool 2 with `width`, 2·`width`, 4·`width`, 8·`width` channels follow each
    other while the shorter side is at least 8; then Conv 3×3 - BatchNorm - relu with as many channels as the last of
    them, the mean over height and width, Dropout and Dense.

    Args:
        num_classes: Width of the head.
        input_shape: Shape of the images, channels first.
        width: Channels of the first convolution.
        dropout: Rate before the head.

    Example:
        >>> import torch
        >>> ConvNet(3, (1, 20, 30))(torch.zeros(2, 1, 20, 30)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, num_classes: int = 10, input_shape: Sequence[int] = (3, 32, 32), width: int = 16, dropout: float = 0.0
    ) -> None:
        super().__init__()
        integer("ConvNet", "width", width)
        self.input_shape = check_input_shape("ConvNet", input_shape)
        channels, side = self.input_shape[0], min(self.input_shape[1:])
        self.blocks = nn.Sequential()
        while side >= _SMALLEST and len(self.blocks) < _MOST:
            filters = width * 2 ** len(self.blocks)
            self.blocks.append(_block(channels, filters, halve=True))
            channels, side = filters, side // 2
        filters = max(channels, width)
        self.blocks.append(_block(channels, filters, halve=False))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, *input_shape) to logits (N, num_classes)."""
        check_input("ConvNet", x, self.input_shape)
        return self.head(self.dropout(self.blocks(x).mean((2, 3))))


def _block(channels: int, filters: int, *, halve: bool) -> nn.Sequential:
    layers = [nn.Conv2d(channels, filters, 3, padding="same", bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if halve else []))
