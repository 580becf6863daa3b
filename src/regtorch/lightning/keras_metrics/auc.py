"""Keras's area under a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from regtorch.checks import flag, integer, nonnegative, number, one_of
from regtorch.keras.losses.loss import EPSILON, divided
from regtorch.lightning.keras_metrics.counts import Counts, are_even

__all__ = ["AUC"]


class AUC(Counts):
    """The area under the curve of counts at thresholds.

    Args:
        num_thresholds: how many even thresholds there are.
        curve: "ROC": recall over the false positive rate; "PR": precision over recall; "PRGAIN": their gains.
        summation_method: "interpolation" takes the mean height of a step (of PR: interpolates counts, as Davis and
            Goadrich 2006), "minoring" the smaller, "majoring" the larger.
        thresholds: instead of even ones, between 0 and 1; both ends are added.
        multi_label: whether each index of the last axis has a curve of its own, and the result is their mean.
        num_labels: how many there are.
        label_weights: their weights in the mean; without `multi_label`, of each label's outputs.
        from_logits: whether to take the outputs' sigmoid.
        name: see `KerasMetric`.
        channels_last: see `KerasMetric`.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
        *,
        name: str,
        channels_last: bool = True,
    ) -> None:
        if thresholds is None:
            last = integer("metric", "num_thresholds", num_thresholds, low=2) - 1
            inner, even = [i / last for i in range(1, last)], True
        else:
            inner = sorted(number("metric", "thresholds", limit, low=0, high=1) for limit in thresholds)
            even = are_even([0.0, *inner, 1.0])
        super().__init__([-EPSILON, *inner, 1 + EPSILON], even, name=name, channels_last=channels_last)
        self.curve = one_of("metric", "curve", str(curve).upper(), ("ROC", "PR", "PRGAIN"))
        kinds = ("interpolation", "minoring", "majoring")
        self.summation_method = one_of("metric", "summation_method", str(summation_method).lower(), kinds)
        self.by_label = flag("metric", "multi_label", multi_label)
        self.from_logits = flag("metric", "from_logits", from_logits)
        self.num_labels = None if num_labels is None else integer("metric", "num_labels", num_labels)
        if self.num_labels is not None and not self.by_label:
            raise ValueError("metric: num_labels is for multi_label=True; leave it out")
        self.label_weights = None if label_weights is None else _numbers(label_weights)
        if self.by_label:
            for count in ("tp", "fp", "tn", "fn"):
                self.add_sum(count)

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        wanted = self.num_labels or (len(self.label_weights) if self.label_weights else None)
        if (self.by_label and outputs.ndim != 2) or (wanted is not None and outputs.shape[-1] != wanted):
            raise ValueError(
                f"{self.name}: outputs must have the shape (N, {wanted or 'labels'}), received {tuple(outputs.shape)}"
            )
        super().add(outputs.sigmoid() if self.from_logits else outputs, targets, weight, mask)

    def weighed(self, weight: Tensor) -> Tensor:
        of_labels = None if self.by_label else self.label_weights
        return weight if of_labels is None else weight * weight.new_tensor(of_labels)

    def compute(self) -> Tensor:
        """The area."""
        areas = self._steps().sum(0)
        if not self.by_label:
            return areas
        if self.label_weights is None:
            return areas.mean()
        weights = areas.new_tensor(self.label_weights)
        return divided((areas * weights).sum(), weights.sum())

    def _steps(self) -> Tensor:
        """The areas between the thresholds."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated()
        x, y = self._points()
        left, right = y[:-1], y[1:]
        heights = {"minoring": torch.minimum, "majoring": torch.maximum}.get(self.summation_method)
        return (x[:-1] - x[1:]) * ((left + right) / 2 if heights is None else heights(left, right))

    def _points(self) -> tuple[Tensor, Tensor]:
        tp, fp, tn, fn = self.tp, self.fp, self.tn, self.fn
        recall = divided(tp, tp + fn)
        if self.curve == "ROC":
            return divided(fp, fp + tn), recall
        if self.curve == "PR":
            return recall, divided(tp, tp + fp)
        odds = divided(tp + fn, tn + fp)
        recall_gain = torch.where(tp == 0, 0.0, 1 - odds * divided(fn, tp))
        return recall_gain.clamp(min=0), torch.where(tp == 0, 1.0, 1 - odds * divided(fp, tp))

    def _interpolated(self) -> Tensor:
        """Areas under precision with counts linear between thresholds."""
        tp, positive = self.tp, self.tp + self.fp
        before, after = positive[:-1], positive[1:]
        gained = tp[:-1] - tp[1:]
        slope = divided(gained, (before - after).clamp(min=0))
        intercept = tp[1:] - slope * after
        ratio = torch.where((before > 0) & (after > 0), divided(before, after.clamp(min=0)), 1.0)
        return divided(slope * (gained + intercept * ratio.log()), (tp[1:] + self.fn[1:]).clamp(min=0))


def _numbers(weights: Any) -> list[float]:
    """The weights of labels: numbers, a tensor, or the config that Keras's files have of one."""
    if isinstance(weights, Mapping):
        weights = (weights.get("config") or {}).get("value")
    if hasattr(weights, "tolist"):
        weights = weights.tolist()
    if not isinstance(weights, list | tuple):
        raise ValueError(f"metric: label_weights must be numbers, received {weights!r}")
    return [nonnegative("metric", "label_weights", weight) for weight in weights]
