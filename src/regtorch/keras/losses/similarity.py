"""Keras's losses of embeddings and of sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.checks import flag, number
from regtorch.keras.losses.loss import Loss

__all__ = ["CTC", "Circle"]


class Circle(Loss):
    """Circle loss of normalized embeddings (N, d) with class numbers (N,) as targets.

    With the distances d = max(1 - o oᵀ, 0) and margin m: softplus(log Σ exp(-γ (m + d)(m - d)) + log Σ exp(γ max(1 + m
    - d, 0)(1 - m - d))), the first sum over the other samples of the same class, the second over those of others.
    Samples whose loss is 0 do not count in a mean.

    Args:
        gamma: γ.
        margin: m.
        remove_diagonal: whether a sample is no neighbour of its own.
        reduction: see `Loss`.
        channels_last: see `Loss`.

    Source: Sun et al. 2020, Circle Loss, arXiv:2002.10857.

    Example:
        >>> import torch, regtorch as rt
        >>> o = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), dim=1)
        >>> loss = rt.keras.losses.Circle()(o, torch.tensor([0, 0, 1]))
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        *,
        reduction: str | None = "sum_over_batch_size",
        channels_last: bool = True,
    ) -> None:
        super().__init__(reduction=reduction, channels_last=channels_last)
        self.gamma, self.margin = number("Circle", "gamma", gamma), number("Circle", "margin", margin)
        self.remove_diagonal = flag("Circle", "remove_diagonal", remove_diagonal)

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        labels = targets.long().reshape(-1, 1)
        if outputs.ndim != 2 or len(labels) != len(outputs):
            raise ValueError(
                f"Circle: expected outputs (N, d) and class numbers (N,), received {tuple(outputs.shape)} and "
                f"{tuple(targets.shape)}"
            )
        same = labels == labels.T
        others = ~same
        if self.remove_diagonal:
            same = same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)
        distances, m = (1 - outputs @ outputs.T).clamp(min=0), self.margin
        near = -self.gamma * ((m + distances) * same).clamp(min=0) * (m - distances)
        far = self.gamma * ((1 + m - distances) * others).clamp(min=0) * (1 - m - distances)
        first = torch.where(same, near, -torch.inf).logsumexp(1)
        second = torch.where(others, far, -torch.inf).logsumexp(1)
        values = F.softplus(first + second)
        return values, values > 0


class CTC(Loss):
    """Connectionist temporal classification of logits (N, steps, classes) with class numbers (N, length) as targets.

    Class 0 is the blank, and ends a target. The sums run over all steps, as in Keras: lengths of outputs are not taken.
    See `Loss` for the arguments.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.losses.CTC()(torch.zeros(1, 4, 3), torch.tensor([[1, 2]]))
    """

    def values(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        if outputs.ndim != 3 or targets.ndim != 2 or len(targets) != len(outputs):
            raise ValueError(
                f"CTC: expected outputs (N, steps, classes) and targets (N, length), received {tuple(outputs.shape)} "
                f"and {tuple(targets.shape)}"
            )
        lengths = (targets != 0).sum(-1)
        steps = torch.full_like(lengths, outputs.shape[1])
        logs = outputs.log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(logs, targets.long(), steps, lengths, blank=0, reduction="none"), None
