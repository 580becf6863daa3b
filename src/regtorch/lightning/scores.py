"""A running score that costs a training step nothing worth naming."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["Score"]

_MOST = 1 << 20  # output numbers that wait; a metric's update of many batches takes as long as that of one small batch


class Score:
    """Outputs and targets on their way to a metric, which sees many batches at once.

    Args:
        metric: what computes the score.
        predict: from outputs to what the metric takes.
    """

    def __init__(self, metric: Metric, predict: Callable[[Tensor], Tensor]) -> None:
        self._metric = metric
        self._predict = predict
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._size = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in a batch; the tensors must not change afterwards."""
        self._waiting.append((outputs.detach(), targets))
        self._size += outputs.numel()
        if self._size >= _MOST:
            self.metric()

    def reset(self) -> None:
        self._waiting, self._size = [], 0
        self._metric.reset()

    def metric(self) -> Metric:
        """The metric, once it has seen every batch."""
        if self._waiting:
            outputs, targets = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
            self._waiting, self._size = [], 0
            self._metric.update(self._predict(outputs), targets)
        return self._metric
