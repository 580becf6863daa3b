"""Document 000's shallow convolutional net for CIFAR-10."""

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["CNN"]


class CNN(nn.Module):
    """One convolution and one wide dense layer: 4,203,018 parameters, 4,201,930 of them trainable.

    Conv 32 3×3 - relu - BatchNorm - MaxPool 2 - Dense 512 - relu - BatchNorm - Dropout - Dense, with Keras's
    defaults: batch norm with eps 1e-3 and momentum 0.99 (0.01 in PyTorch), and Keras's initialisation.

    Args:
        num_classes: Width of the head.
        dropout: Rate on the 512 features.

    Example:
        >>> import torch
        >>> CNN()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, kernel_size=3, padding="same")
        self.norm1 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        self.dense = nn.Linear(32 * 16 * 16, 512)
        self.norm2 = nn.BatchNorm1d(512, eps=1e-3, momentum=0.01)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, num_classes)."""
        check_input("CNN", x, (3, 32, 32))
        x = F.max_pool2d(self.norm1(F.relu(self.conv(x))), 2)
        x = self.norm2(F.relu(self.dense(x.flatten(1))))
        return self.head(self.dropout(x))
