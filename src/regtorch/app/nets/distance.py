"""Document 004's net for the distance on roads between two points."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.checks import one_of
from regtorch.init import keras_init_

__all__ = ["Distance"]


class Distance(nn.Module):
    """4 - 100 relu - 100 relu - 1: 10,701 parameters; with other widths a net for any regression on vectors.

    Args:
        inputs: Number of features.
        outputs: Number of targets.
        head: "sigmoid", with which the document's net predicts a constant, or "linear", as its answer advises.

    Example:
        >>> Distance()(torch.zeros(2, 4)).shape
        torch.Size([2, 1])
    """

    def __init__(self, inputs: int = 4, outputs: int = 1, head: Literal["linear", "sigmoid"] = "linear") -> None:
        super().__init__()
        one_of("Distance", "head", head, ("linear", "sigmoid"))
        self.inputs = inputs
        self.sigmoid = head == "sigmoid"
        self.hidden1 = nn.Linear(inputs, 100)
        self.hidden2 = nn.Linear(100, 100)
        self.head = nn.Linear(100, outputs)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, inputs), such as the coordinates of two points, to targets (N, outputs)."""
        check_input("Distance", x, (self.inputs,))
        x = self.head(F.relu(self.hidden2(F.relu(self.hidden1(x)))))
        return torch.sigmoid(x) if self.sigmoid else x
