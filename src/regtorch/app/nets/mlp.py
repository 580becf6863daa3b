"""Dense layers for samples of any shape."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from regtorch.app.nets.inputs import check_input
from regtorch.checks import sizes
from regtorch.init import keras_init_

__all__ = ["MLP"]


class MLP(nn.Module):
    """Flatten - (Dense - relu - Dropout) for each hidden layer - Dense.

    Args:
        input_shape: Shape of a sample.
        outputs: Number of classes, or of numbers to predict.
        hidden: Widths of the hidden layers.
        dropout: Rate after each hidden layer.

    Example:
        >>> import torch
        >>> MLP((4,), 3)(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (4,),
        outputs: int = 1,
        hidden: Sequence[int] = (64, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_shape = sizes("MLP", "input_shape", input_shape, ["size"] * max(1, len(input_shape)))
        hidden = sizes("MLP", "hidden", hidden, ["width"] * max(1, len(hidden)))
        inputs = math.prod(self.input_shape)
        self.hidden = nn.Sequential()
        for units in hidden:
            self.hidden.extend([nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(dropout)])
            inputs = units
        self.head = nn.Linear(inputs, outputs)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples (N, *input_shape) to logits or numbers (N, outputs)."""
        check_input("MLP", x, self.input_shape)
        return self.head(self.hidden(x.flatten(1)))
