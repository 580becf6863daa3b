"""The losses of several outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from regtorch.keras.by_output import tensors_by_output

__all__ = ["SeveralLosses"]


class SeveralLosses(nn.Module):
    """The weighted sum of a loss for each output: Keras's lists and dicts of losses with `loss_weights`.

    `loss(outputs, targets, sample_weight=None, masks=None)` takes sequences, or dicts of outputs, targets and weights
    by output; one tensor of weights is for all. Outputs without a loss need no targets.

    Args:
        losses: a loss for each output; None for outputs without one.
        weights: the weight of each.
        names: the names of the outputs, for dicts.
    """

    def __init__(self, losses: Sequence[nn.Module | None], weights: Sequence[float], names: Sequence[str] = ()) -> None:
        super().__init__()
        self.losses = nn.ModuleList([nn.Identity() if one is None else one for one in losses])
        self.weights, self.names = list(weights), list(names)

    def forward(
        self, outputs: Any, targets: Any, sample_weight: Any = None, masks: Sequence[Tensor | None] | None = None
    ) -> Tensor:
        """The sum.

        Raises:
            ValueError: there are not as many outputs, or targets, as losses.
        """
        total: Any = 0.0
        for index, value in self.parts(outputs, targets, sample_weight, masks):
            total = total + self.weights[index] * value
        return total

    def parts(
        self, outputs: Any, targets: Any, sample_weight: Any = None, masks: Sequence[Tensor | None] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """The index of each output that has a loss, and its loss without its weight."""
        used = [not isinstance(loss, nn.Identity) for loss in self.losses]
        o, y = (
            tensors_by_output("loss", what, value, self.names, used)
            for what, value in (("outputs", outputs), ("targets", targets))
        )
        several = isinstance(sample_weight, Mapping | list | tuple)
        unused = [False] * len(used)
        weights = (
            tensors_by_output("loss", "sample_weight", sample_weight, self.names, unused)
            if several
            else [sample_weight] * len(used)
        )
        for index, loss in enumerate(self.losses):
            if used[index]:
                weight, mask = weights[index], None if masks is None else masks[index]
                more = () if weight is None and mask is None else (weight, mask)
                yield index, loss(o[index], y[index], *more)
