"""A running score with negligible cost in a training step."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["Score"]

_MOST = 1 << 20  # outputs in the queue; updating a metric takes as long for many batches as for one small one


class Score:
    """Queues outputs and targets, and updates a metric with many batches at once.

    Args:
        metric: computes the score.
        predict: maps outputs to the metric's predictions.
    """

    def __init__(self, metric: Metric, predict: Callable[[Tensor], Tensor]) -> None:
        self._metric = metric
        self._predict = predict
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._size = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Queue a batch; its tensors must not be changed afterwards."""
        self._waiting.append((outputs.detach(), targets))
        self._size += outputs.numel()
        if self._size >= _MOST:
            self.metric()

    def reset(self) -> None:
        self._waiting, self._size = [], 0
        self._metric.reset()

    def metric(self) -> Metric:
        """The metric, updated with every batch."""
        if self._waiting:
            outputs, targets = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
            self._waiting, self._size = [], 0
            self._metric.update(self._predict(outputs), targets)
        return self._metric
