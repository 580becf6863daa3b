"""The penalty of differences between two passes under dropout."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from regtorch.outputs.output_rule import OutputRule, check_outputs, log_probabilities, per_sample
from regtorch.penalties.base import zero
from regtorch.shapes import Float

__all__ = ["RDrop"]


class RDrop(OutputRule):
    """λ ½ (KL(p‖q) + KL(q‖p)), p and q the softmax of two passes' logits, mean over the batch.

    Each pass draws its own dropout masks and has its own task loss; use the mean of the two. (The paper uses their sum
    and α: λ = α/2 with the mean.) One logit per sample means two classes.

    Args:
        lam: the strength λ, in units of loss per nat.

    Raises:
        TypeError: `lam` is not a number, or the logits are not a real floating-point tensor.
        ValueError: `lam` is negative, infinite or NaN, or the logits differ in shape or have no class dim.

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
        """The value for the logits of two passes, classes in dim 1. Exactly 0 at strength 0."""
        first, second = (check_outputs(self.name, name, z, least=2) for name, z in (("a", a), ("b", b)))
        if first.shape != second.shape:
            raise ValueError(
                f"{self.name}: a and b must be logits of the same batch, received shapes {tuple(first.shape)} and "
                f"{tuple(second.shape)}"
            )
        if not self.active:
            return zero(first) + zero(second)
        log_p, log_q = (log_probabilities(self.name, "logits", z) for z in (first, second))
        both = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)  # KL(p‖q) + KL(q‖p)
        return 0.5 * self.lam * per_sample(both, first)
