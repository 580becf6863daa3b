"""Document 000's deep convolutional net for CIFAR-10."""

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["CifarDeep"]


class CifarDeep(nn.Module):
    """Three blocks of two convolutions and a dense layer: 1,345,066 parameters, 1,343,146 of them trainable.

    3 × (Conv 3×3 - relu - BatchNorm, twice - MaxPool 2 - Dropout) with 32, 64 and 128 channels, Dense 512 - relu -
    BatchNorm - Dropout - Dense, with Keras's defaults.

    Args:
        num_classes: Width of the head.
        dropout: Rate after each block; 0.2 is our choice, as the document lists the layers without their rates.
        dense_dropout: Rate after the dense layer, 0.5 in the document's shallow net.
        norm_first: Normalise before the activation, as the document's answer advises, instead of after it.

    Example:
        >>> import torch
        >>> CifarDeep()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, num_classes: int = 10, dropout: float = 0.2, dense_dropout: float = 0.5, norm_first: bool = False
    ) -> None:
        super().__init__()
        self.block1 = _Block(3, 32, dropout, norm_first)
        self.block2 = _Block(32, 64, dropout, norm_first)
        self.block3 = _Block(64, 128, dropout, norm_first)
        self.dense = nn.Linear(128 * 4 * 4, 512)
        self.norm = nn.BatchNorm1d(512, eps=1e-3, momentum=0.01)
        self.dropout = nn.Dropout(dense_dropout)
        self.head = nn.Linear(512, num_classes)
        self.norm_first = norm_first
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, num_classes)."""
        check_input("CifarDeep", x, (3, 32, 32))
        x = self.block3(self.block2(self.block1(x)))
        x = _activate(self.dense(x.flatten(1)), self.norm, self.norm_first)
        return self.head(self.dropout(x))


class _Block(nn.Module):
    """Two convolutions, each with its batch norm; max pooling; dropout."""

    def __init__(self, channels: int, filters: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, kernel_size=3, padding="same")
        self.norm1 = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        self.conv2 = nn.Conv2d(filters, filters, kernel_size=3, padding="same")
        self.norm2 = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: Tensor) -> Tensor:
        x = _activate(self.conv1(x), self.norm1, self.norm_first)
        x = _activate(self.conv2(x), self.norm2, self.norm_first)
        return self.dropout(F.max_pool2d(x, 2))


def _activate(x: Tensor, norm: nn.Module, norm_first: bool) -> Tensor:
    return F.relu(norm(x)) if norm_first else norm(F.relu(x))
