"""Document 001's convolutional net for Rock-Paper-Scissors."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input, check_input_shape
from regtorch.checks import integer
from regtorch.init import keras_init_

__all__ = ["RPS"]


class RPS(nn.Module):
    """Four unpadded convolutions and a wide dense layer: 9,699,395 parameters on 3×224×224.

    4 × (Conv 3×3 - relu - MaxPool 2) with 64, 64, 128 and 128 channels, Dropout, Dense 512 - relu - Dense.

    Args:
        num_classes: Width of the head.
        input_shape: Shape of the images, channels first.
        blocks: Number of convolutions. The document advises two instead of four; each one less gives the dense layer
            about four times as many features, so the net with two has 95,592,259 parameters on 3×224×224.
        dropout: Rate before the dense layer; 0 and 0.2 in the document.

    Example:
        >>> import torch
        >>> RPS(input_shape=(3, 46, 46))(torch.zeros(2, 3, 46, 46)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, num_classes: int = 3, input_shape: Sequence[int] = (3, 224, 224), blocks: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        integer("RPS", "blocks", blocks, low=1, high=4)
        self.input_shape = check_input_shape("RPS", input_shape, least=(4, 10, 22, 46)[blocks - 1])
        channels, height, width = self.input_shape
        self.convs = nn.Sequential()
        for i, filters in enumerate((64, 64, 128, 128)[:blocks], start=1):
            self.convs.add_module(f"conv{i}", nn.Conv2d(channels, filters, kernel_size=3))
            channels, height, width = filters, (height - 2) // 2, (width - 2) // 2
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(channels * height * width, 512)
        self.head = nn.Linear(512, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, *input_shape) to logits (N, num_classes)."""
        check_input("RPS", x, self.input_shape)
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.head(F.relu(self.dense(self.dropout(x.flatten(1)))))
