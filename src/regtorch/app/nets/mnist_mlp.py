"""Document 002's net for MNIST: one sigmoid layer of 36 units."""

from torch import Tensor, nn

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["MnistMLP"]


class MnistMLP(nn.Module):
    """784 - 36 sigmoid - Dropout - 10: 28,630 parameters, initialised as Keras does.

    Args:
        num_classes: Width of the head.
        hidden: Width of the hidden layer.
        dropout: Rate on the hidden units.

    Example:
        >>> import torch
        >>> MnistMLP()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, hidden: int = 36, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = nn.Linear(28 * 28, hidden)
        self.activation = nn.Sigmoid()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N, num_classes)."""
        check_input("MnistMLP", x, (1, 28, 28))
        return self.head(self.dropout(self.activation(self.hidden(x.flatten(1)))))
