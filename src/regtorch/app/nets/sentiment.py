"""Document 004's net for sentiment analysis of bags of words."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.checks import one_of
from regtorch.init import keras_init_

__all__ = ["Sentiment"]


class Sentiment(nn.Module):
    """Words - 512 relu - Dropout - 256 sigmoid - Dropout - 2: 5,252,354 parameters with 10,000 words.

    Args:
        num_classes: Width of the head.
        max_words: Size of the vocabulary; not given in the document.
        dropout: Rate of both dropout layers.
        activation: Of the second layer: "sigmoid", or "relu", as the document's answer advises.

    Example:
        >>> import torch
        >>> Sentiment(max_words=50)(torch.zeros(2, 50)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        num_classes: int = 2,
        max_words: int = 10_000,
        dropout: float = 0.5,
        activation: Literal["sigmoid", "relu"] = "sigmoid",
    ) -> None:
        super().__init__()
        one_of("Sentiment", "activation", activation, ("sigmoid", "relu"))
        self.activation = nn.Sigmoid() if activation == "sigmoid" else nn.ReLU()
        self.max_words = max_words
        self.hidden1 = nn.Linear(max_words, 512)
        self.dropout1 = nn.Dropout(dropout)
        self.hidden2 = nn.Linear(512, 256)
        self.dropout2 = nn.Dropout(dropout)
        self.head = nn.Linear(256, num_classes)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map bags of words (N, max_words) to logits (N, num_classes)."""
        check_input("Sentiment", x, (self.max_words,))
        x = self.dropout1(F.relu(self.hidden1(x)))
        return self.head(self.dropout2(self.activation(self.hidden2(x))))
