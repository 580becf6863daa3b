"""Keras's intersections over unions of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.checks import flag, integer, number
from regtorch.keras.losses.loss import EPSILON, checked_axis
from regtorch.lightning.keras_metrics.metric import KerasMetric, weights_like

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class IoU(KerasMetric):
    """The mean over classes of both / (predicted + true - both), of those that occur.

    Args:
        num_classes: how many classes there are.
        target_class_ids: of which classes the mean is.
        ignore_class: targets of this class do not count.
        sparse_y_true: whether targets are class numbers; else the largest counts.
        sparse_y_pred: whether outputs are class numbers; else the largest counts.
        axis: which of Keras's axes the classes are.
        whole: whether weights are rounded towards 0, as for Keras's dtype of whole numbers, its default.
        name: see `KerasMetric`.
        channels_last: see `KerasMetric`.
    """

    matrix: Tensor

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        *,
        whole: bool = True,
        name: str,
        channels_last: bool = True,
    ) -> None:
        super().__init__(name, channels_last=channels_last)
        self.classes = integer("metric", "num_classes", num_classes)
        self.chosen = [integer("metric", "target_class_ids", i, low=0, high=self.classes - 1) for i in target_class_ids]
        self.ignored = None if ignore_class is None else integer("metric", "ignore_class", ignore_class, low=-(2**31))
        self.sparse_targets = flag("metric", "sparse_y_true", sparse_y_true)
        self.sparse_outputs = flag("metric", "sparse_y_pred", sparse_y_pred)
        self.axis, self.whole = checked_axis("metric", axis), whole
        self.add_sum("matrix", self.classes, self.classes)

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        y = targets if self.sparse_targets else targets.argmax(self.axis)
        o = outputs if self.sparse_outputs else outputs.argmax(self.axis)
        y, o = y.long().flatten(), o.long().flatten()
        if y.shape != o.shape:
            raise ValueError(
                f"{self.name}: outputs and targets must be as many class numbers, received {len(o)} and {len(y)}"
            )
        weight = torch.ones((), device=y.device) if weight is None else weight
        weight = weight.trunc() if self.whole and weight.is_floating_point() else weight
        weight = weights_like(self.name, weight.flatten() if weight.ndim else weight, y.double())
        known = (y >= 0) & (y < self.classes) & (o >= 0) & (o < self.classes)
        if self.ignored is not None:
            known &= y != self.ignored
        cells = self.classes * y[known] + o[known]
        sums = torch.zeros(self.classes**2, dtype=torch.float64, device=y.device)
        self.matrix += sums.scatter_add_(0, cells, weight[known]).view_as(self.matrix)

    def compute(self) -> Tensor:
        """The mean."""
        both = self.matrix.diagonal()[self.chosen]
        union = (self.matrix.sum(0) + self.matrix.sum(1) - self.matrix.diagonal())[self.chosen]
        occurs = union > 1e-9
        return torch.where(occurs, both / (union + EPSILON), 0.0).sum() / (occurs.sum() + EPSILON)


class BinaryIoU(IoU):
    """`IoU` of two classes, told apart by a threshold: class 1 where the output is at least that."""

    def __init__(self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, **rest: Any) -> None:
        super().__init__(2, target_class_ids, **rest)
        self.threshold = number("metric", "threshold", threshold)

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        super().add(outputs >= self.threshold, targets, weight, mask)


class MeanIoU(IoU):
    """`IoU` of all classes."""

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        **rest: Any,
    ) -> None:
        classes = range(integer("metric", "num_classes", num_classes))
        super().__init__(num_classes, classes, ignore_class, sparse_y_true, sparse_y_pred, axis, **rest)


class OneHotIoU(IoU):
    """`IoU` of targets that are shares of classes."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        **rest: Any,
    ) -> None:
        super().__init__(num_classes, target_class_ids, ignore_class, False, sparse_y_pred, axis, **rest)


class OneHotMeanIoU(MeanIoU):
    """`IoU` of all classes, of targets that are shares of classes."""

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        **rest: Any,
    ) -> None:
        super().__init__(num_classes, ignore_class, False, sparse_y_pred, axis, **rest)
