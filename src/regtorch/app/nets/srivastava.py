"""The dropout paper's net for MNIST (Srivastava et al. 2014, table 9), which document 003's answer cites."""

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["Srivastava"]


class Srivastava(nn.Module):
    """784 - 1024 - 1024 - 2048 - 10 with ReLUs and dropout on the input and every hidden layer: 3,973,130 parameters.

    Args:
        num_classes: Width of the head.
        input_dropout: Rate on the pixels, 0.2 in the paper.
        dropout: Rate on the hidden units, 0.5 in the paper; both are 0 for its nets without dropout.

    Example:
        >>> import torch
        >>> Srivastava()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, input_dropout: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout0 = nn.Dropout(input_dropout)
        self.hidden1 = nn.Linear(28 * 28, 1024)
        self.dropout1 = nn.Dropout(dropout)
        self.hidden2 = nn.Linear(1024, 1024)
        self.dropout2 = nn.Dropout(dropout)
        self.hidden3 = nn.Linear(1024, 2048)
        self.dropout3 = nn.Dropout(dropout)
        self.head = nn.Linear(2048, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N, num_classes)."""
        check_input("Srivastava", x, (1, 28, 28))
        x = self.dropout0(x.flatten(1))
        x = self.dropout1(F.relu(self.hidden1(x)))
        x = self.dropout2(F.relu(self.hidden2(x)))
        x = self.dropout3(F.relu(self.hidden3(x)))
        return self.head(x)
