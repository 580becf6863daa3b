"""The penalty of two passes that differ, as under dropout."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from regtorch.outputs.base import OutputRule, check_outputs, log_probabilities, per_sample
from regtorch.penalties.base import zero
from regtorch.shapes import Float

__all__ = ["RDrop"]


class RDrop(OutputRule):
    """λ ½ (KL(p‖q) + KL(q‖p)), p and q the softmax of two passes' logits, mean over the batch.

    The two passes draw their own dropout masks, and each has its task loss: take the mean of both. (The paper takes
    their sum beside its α: that is λ = α/2 beside the mean.) One logit a sample stands for two classes.

    Args:
        lam: the strength λ, in units of loss per nat.

    Raises:
        TypeError: `lam` is not a number, or the logits are no real floating-point numbers.
        ValueError: `lam` is negative, infinite or NaN, or the two have unlike shapes, or no dim of classes.

    Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks".

    Example:
        >>> import torch, regtorch as rt
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        >>> x, y, loss = torch.randn(8, 4), torch.zeros(8, dtype=torch.int64), nn.CrossEntropyLoss()
        >>> a, b = net(x), net(x)
        >>> total = (loss(a, y) + loss(b, y)) / 2 + rt.RDrop(1.0)(a, b)
    """

    use: ClassVar[str] = "call it with the logits of two passes, loss + rule(net(x), net(x))"

    lam: float = 0.01

    def __call__(
        self, a: Float[Tensor, "batch classes *rest"], b: Float[Tensor, "batch classes *rest"]
    ) -> Float[Tensor, ""]:
        """The value of two passes' logits, classes in dim 1. Exactly 0 at strength 0."""
        first, second = (check_outputs(self.name, name, z, least=2) for name, z in (("a", a), ("b", b)))
        if first.shape != second.shape:
            raise ValueError(
                f"{self.name}: a and b must be the logits of one batch, received the shapes {tuple(first.shape)} and "
                f"{tuple(second.shape)}"
            )
        if not self.active:
            return zero(first) + zero(second)
        log_p, log_q = (log_probabilities(self.name, "logits", z) for z in (first, second))
        both = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)  # KL(p‖q) + KL(q‖p)
        return 0.5 * self.lam * per_sample(both, first)
