"""A running score with negligible cost in a training step."""

from collections.abc import Callable
from typing import Any

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

    def state_dict(self) -> dict[str, Any]:
        """What it has seen so far, as tensors and plain values."""
        metric = self._metric
        return {
            "metric": {name: getattr(metric, name) for name in metric._defaults},
            "updates": metric._update_count,
            "waiting": list(self._waiting),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`."""
        metric = self._metric
        self.reset()
        for name, value in state["metric"].items():
            setattr(metric, name, value.to(metric.device) if isinstance(value, Tensor) else value)
        metric._update_count = state["updates"]
        self._waiting = [
            (outputs.to(metric.device), targets.to(metric.device)) for outputs, targets in state["waiting"]
        ]
        self._size = sum(outputs.numel() for outputs, _ in self._waiting)
