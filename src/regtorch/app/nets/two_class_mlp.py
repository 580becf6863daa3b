"""Document 004's dense net for images of two classes."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input, check_input_shape
from regtorch.init import keras_init_

__all__ = ["TwoClassMLP"]


class TwoClassMLP(nn.Module):
    """Flatten - 256 relu - Dropout - 256 relu - Dropout - 1 logit: 17,346,305 parameters on 3×150×150.

    Args:
        input_shape: Shape of the images, channels first.
        dropout: Rate of both dropout layers.

    Example:
        >>> import torch
        >>> TwoClassMLP(input_shape=(3, 8, 8))(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 1])
    """

    def __init__(self, input_shape: Sequence[int] = (3, 150, 150), dropout: float = 0.5) -> None:
        super().__init__()
        self.input_shape = check_input_shape("TwoClassMLP", input_shape)
        self.hidden1 = nn.Linear(math.prod(self.input_shape), 256)
        self.dropout1 = nn.Dropout(dropout)
        self.hidden2 = nn.Linear(256, 256)
        self.dropout2 = nn.Dropout(dropout)
        self.head = nn.Linear(256, 1)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, *input_shape) to logits (N, 1)."""
        check_input("TwoClassMLP", x, self.input_shape)
        x = self.dropout1(F.relu(self.hidden1(x.flatten(1))))
        return self.head(self.dropout2(F.relu(self.hidden2(x))))
