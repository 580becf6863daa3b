"""Document 003's net for notMNIST: one wide ReLU layer with TensorFlow 1's initial weights."""

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input

__all__ = ["NotMNISTMLP"]


class NotMNISTMLP(nn.Module):
    """784 - 1024 relu - Dropout - 10: 814,090 parameters.

    The weights are drawn as by `tf.truncated_normal`: normal with σ = 1, truncated at 2σ. The untrained
    net's logits are therefore in the hundreds. Biases are zero.

    Args:
        num_classes: Width of the head.
        hidden: Width of the hidden layer.
        dropout: Rate on the hidden units; 0 and 0.5 in the document.

    Example:
        >>> import torch
        >>> NotMNISTMLP()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, hidden: int = 1024, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(28 * 28, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, num_classes)
        for layer in (self.hidden, self.head):
            nn.init.trunc_normal_(layer.weight, std=1.0, a=-2.0, b=2.0)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N, num_classes)."""
        check_input("NotMNISTMLP", x, (1, 28, 28))
        return self.head(self.dropout(F.relu(self.hidden(x.flatten(1)))))
