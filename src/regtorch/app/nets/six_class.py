"""Document 004's small convolutional net for images of six classes."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input, check_input_shape
from regtorch.init import keras_init_

__all__ = ["SixClass"]


class SixClass(nn.Module):
    """Two convolutions and a dense layer with heavy dropout: 352,134 parameters on 3×150×150, 352,054 trainable.

    2 × (Conv 3×3 - BatchNorm - relu - Dropout .7 - MaxPool 2 - Dropout .5) with 8 and 16 channels, Dense 16 -
    BatchNorm - relu - Dropout .5 - Dense, with Keras's defaults.

    Args:
        num_classes: Width of the head.
        input_shape: Shape of the images, channels first; not given in the document.
        last_norm: Whether to keep the dense layer's batch norm, which one of the document's answers removes.
        dropout: Multiplies the document's rates; 0 removes dropout, as the same answer advises.

    Example:
        >>> import torch
        >>> SixClass(input_shape=(3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        num_classes: int = 6,
        input_shape: Sequence[int] = (3, 150, 150),
        last_norm: bool = True,
        dropout: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_shape = check_input_shape("SixClass", input_shape, least=4)
        channels, height, width = self.input_shape
        self.block1 = _Block(channels, 8, dropout)
        self.block2 = _Block(8, 16, dropout)
        self.dense = nn.Linear(16 * (height // 4) * (width // 4), 16)
        self.norm = nn.BatchNorm1d(16, eps=1e-3, momentum=0.01) if last_norm else nn.Identity()
        self.dropout = nn.Dropout(0.5 * dropout)
        self.head = nn.Linear(16, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, *input_shape) to logits (N, num_classes)."""
        check_input("SixClass", x, self.input_shape)
        x = self.block2(self.block1(x)).flatten(1)
        return self.head(self.dropout(F.relu(self.norm(self.dense(x)))))


class _Block(nn.Module):
    """A convolution with batch norm, and dropout on both sides of the pooling."""

    def __init__(self, channels: int, filters: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel_size=3, padding="same")
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        self.dropout1 = nn.Dropout(0.7 * dropout)
        self.dropout2 = nn.Dropout(0.5 * dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(F.relu(self.norm(self.conv(x))))
        return self.dropout2(F.max_pool2d(x, 2))
