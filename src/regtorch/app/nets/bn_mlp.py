"""Document 004's net with and without batch norm."""

from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.app.nets.inputs import check_input
from regtorch.init import keras_init_

__all__ = ["BNMLP"]


class BNMLP(nn.Module):
    """A frozen scalar, then Dense - [BatchNorm] - relu - Dense: 814,091 parameters with 1024 units and no batch norm.

    The document's first layer, a frozen Dense(1) without bias over the last axis of 28×28×1, multiplies every pixel by
    one random number. Batch norm removes such a scale; without it the net has to cope with it.

    Args:
        num_classes: Width of the head.
        units: Width of the hidden layer: 5, 50, 100 and 1024 in the document.
        bn: Whether batch norm comes between the hidden layer and its activation.
        scale: The frozen number. None draws it as Keras does by default, from ±√3; the document does not show it.

    Example:
        >>> import torch
        >>> BNMLP(units=5)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, units: int = 1024, bn: bool = True, scale: float | None = None) -> None:
        super().__init__()
        self.pixel = nn.Linear(1, 1, bias=False).requires_grad_(False)
        self.hidden = nn.Linear(28 * 28, units)
        self.norm = nn.BatchNorm1d(units, eps=1e-3, momentum=0.01) if bn else nn.Identity()
        self.head = nn.Linear(units, num_classes)
        keras_init_(self)
        if scale is not None:
            nn.init.constant_(self.pixel.weight, scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 1, 28, 28) to logits (N, num_classes)."""
        check_input("BNMLP", x, (1, 28, 28))
        x = self.pixel(x.flatten(1).unsqueeze(-1)).squeeze(-1)
        return self.head(F.relu(self.norm(self.hidden(x))))
