"""Document 004's tiny binary classifier of windows of six time series."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["WindowNet"]


class WindowNet(nn.Module):
    """Flatten - 6 relu - Dropout .35 - 3 relu - Dropout .1 - 1 logit: 751 parameters on 6×20.

    Args:
        size: Length of the windows; not given in the document.
        rates: The rates of the two dropout layers; the document's first answer advises one low rate for both.
        batch_norm: Whether batch norm follows each hidden layer, as the document's second answer advises.

    Example:
        >>> import torch
        >>> WindowNet()(torch.zeros(2, 6, 20)).shape
        torch.Size([2, 1])
    """

    def __init__(self, size: int = 20, rates: Sequence[float] = (0.35, 0.1), batch_norm: bool = False) -> None:
        super().__init__()
        if len(rates) != 2:
            raise ValueError(f"WindowNet: rates must be two, one for each dropout layer, received {list(rates)}.")
        self.size = size
        self.hidden1 = nn.Linear(6 * size, 6)
        self.norm1 = nn.BatchNorm1d(6, eps=1e-3, momentum=0.01) if batch_norm else nn.Identity()
        self.dropout1 = nn.Dropout(rates[0])
        self.hidden2 = nn.Linear(6, 3)
        self.norm2 = nn.BatchNorm1d(3, eps=1e-3, momentum=0.01) if batch_norm else nn.Identity()
        self.dropout2 = nn.Dropout(rates[1])
        self.head = nn.Linear(3, 1)
        keras_init_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map windows (N, 6, size) to logits (N, 1)."""
        check_input("WindowNet", x, (6, self.size))
        x = self.dropout1(self.norm1(F.relu(self.hidden1(x.flatten(1)))))
        return self.head(self.dropout2(self.norm2(F.relu(self.hidden2(x)))))
