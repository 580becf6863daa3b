"""Keras's counts of hits and misses at thresholds, and what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from regtorch.checks import integer, number, shown
from regtorch.keras.losses.loss import divided
from regtorch.lightning.keras_metrics.metric import KerasMetric, weights_like

__all__ = [
    "Counts",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
    "are_even",
]

_LEAST = -1e10  # what Keras puts in the place of outputs that are not among the top k


class Counts(KerasMetric):
    """The weights of true and false positives and negatives, where an output above a threshold is positive.

    Attributes:
        tp: true positives at each threshold; `fp`, `tn` and `fn` are false positives, true and false negatives.

    Args:
        thresholds: T of them.
        even: whether they are 0, 1 / (T - 1), …, 1: outputs are then rounded to one of them, as in Keras.
        top_k: only the k largest outputs of the last axis are positive.
        class_id: only this index of the last axis counts.
        name: see `KerasMetric`.
        channels_last: see `KerasMetric`.
    """

    tp: Tensor
    fp: Tensor
    tn: Tensor
    fn: Tensor
    by_label = False  # whether each index of the last axis has counts of its own

    def __init__(
        self,
        thresholds: Sequence[float],
        even: bool,
        *,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str,
        channels_last: bool = True,
    ) -> None:
        super().__init__(name, channels_last=channels_last)
        self.thresholds, self.even = list(thresholds), even
        self.top_k = None if top_k is None else integer("metric", "top_k", top_k)
        self.class_id = None if class_id is None else integer("metric", "class_id", class_id, low=0)
        for count in ("tp", "fp", "tn", "fn"):
            self.add_sum(count, len(self.thresholds))

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        outputs, targets = self.same_shape(outputs, targets)
        if weight is None:
            weight = outputs.new_ones(())
        elif weight.ndim:
            weight = weight if weight.ndim == outputs.ndim and weight.shape[-1] == 1 else weight.unsqueeze(-1)
            weight = weight.squeeze(-1) if weight.ndim == outputs.ndim + 1 else weight
        if self.top_k is not None:
            best = torch.zeros_like(outputs).scatter_(-1, outputs.topk(self.top_k, -1).indices, 1.0)
            outputs = torch.where(best > 0, outputs, _LEAST)
        if self.class_id is not None:
            if outputs.ndim == 1 or outputs.shape[-1] <= self.class_id:
                raise ValueError(
                    f"{self.name}: class_id {self.class_id} must be an index of the last axis of the outputs, received "
                    f"the shape {tuple(outputs.shape)}"
                )
            outputs, targets = (x[..., self.class_id : self.class_id + 1] for x in (outputs, targets))
        weight = weights_like(self.name, weight, outputs).double()
        self._count(outputs, targets != 0, self.weighed(weight))

    def weighed(self, weight: Tensor) -> Tensor:
        """The weight of each output."""
        return weight

    def _count(self, outputs: Tensor, positive: Tensor, weight: Tensor) -> None:
        labels = outputs.shape[-1] if self.by_label else 1
        outputs, positive, weight = (x.reshape(-1, labels) for x in (outputs, positive, weight))
        true, false = weight * positive, weight * ~positive
        found = self._above(outputs, torch.cat([true, false], 1))
        tp, fp = found.split(labels, 1)
        tn, fn = false.sum(0) - fp, true.sum(0) - tp
        for name, count in (("tp", tp), ("fp", fp), ("tn", tn), ("fn", fn)):
            setattr(self, name, getattr(self, name) + (count if self.by_label else count.squeeze(1)))

    def _above(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """For each threshold the sums of the columns of weights where the outputs (N, labels) are above it."""
        steps = len(self.thresholds)
        outputs = torch.cat([outputs, outputs], 1)
        if not self.even:
            limits = outputs.new_tensor(self.thresholds).view(-1, 1, 1)
            return ((outputs > limits) * weights).sum(1)
        index = (outputs.clamp(0, 1) * (steps - 1)).ceil().long()  # how many thresholds are below
        if self.thresholds[0] < 0:
            index = index.clamp(min=1)
        sums = weights.new_zeros(steps + 1, outputs.shape[1]).scatter_add_(0, index, weights)
        return sums.flip(0).cumsum(0).flip(0)[1:]


class _AtThresholds(Counts):
    """What is computed from the counts at each of some thresholds."""

    parts: ClassVar[tuple[str, ...]]

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, *, name: str, channels_last: bool = True, **at: Any
    ) -> None:
        usual = _LEAST if at.get("top_k") is not None else 0.5
        given: list[Any] = [usual if thresholds is None else thresholds]
        given = list(thresholds) if isinstance(thresholds, list | tuple) else given
        if not given:
            raise ValueError(f"metric: thresholds must be a number or numbers, received {shown(thresholds)}")
        if thresholds is not None:
            given = [number("metric", "thresholds", limit, low=0, high=1) for limit in given]
        super().__init__(given, are_even(given), name=name, channels_last=channels_last, **at)

    def compute(self) -> Tensor:
        """The value at each threshold; a number for one threshold."""
        counts = [getattr(self, part) for part in self.parts]
        value = counts[0].clone() if len(counts) == 1 else divided(counts[0], counts[0] + counts[1])
        return value[0] if len(value) == 1 else value


class _Count(_AtThresholds):
    def __init__(
        self, thresholds: float | Sequence[float] | None = None, *, name: str, channels_last: bool = True
    ) -> None:
        super().__init__(thresholds, name=name, channels_last=channels_last)


class TruePositives(_Count):
    """The weight of true positives."""

    parts = ("tp",)


class FalsePositives(_Count):
    """The weight of false positives."""

    parts = ("fp",)


class TrueNegatives(_Count):
    """The weight of true negatives."""

    parts = ("tn",)


class FalseNegatives(_Count):
    """The weight of false negatives."""

    parts = ("fn",)


class _Ratio(_AtThresholds):
    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        *,
        name: str,
        channels_last: bool = True,
    ) -> None:
        super().__init__(thresholds, name=name, channels_last=channels_last, top_k=top_k, class_id=class_id)


class Precision(_Ratio):
    """tp / (tp + fp)."""

    parts = ("tp", "fp")


class Recall(_Ratio):
    """tp / (tp + fn)."""

    parts = ("tp", "fn")


class _Best(Counts):
    """The largest of one ratio over the thresholds where another is at least a value."""

    best: ClassVar[tuple[str, str]]
    limited: ClassVar[tuple[str, str]]

    def __init__(
        self,
        least: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        *,
        name: str,
        channels_last: bool = True,
    ) -> None:
        steps = integer("metric", "num_thresholds", num_thresholds)
        thresholds = [0.5] if steps == 1 else [i / (steps - 1) for i in range(steps)]
        super().__init__(thresholds, steps > 1, class_id=class_id, name=name, channels_last=channels_last)
        self.least = number(type(self).__name__, "the bound", least, low=0, high=1)

    def compute(self) -> Tensor:
        """The ratio, 0 where no threshold meets the bound."""
        best, limited = (
            divided(getattr(self, a), getattr(self, a) + getattr(self, b)) for a, b in (self.best, self.limited)
        )
        return torch.where(limited >= self.least, best, 0.0).max().clamp(min=0)


class SensitivityAtSpecificity(_Best):
    """The best tp / (tp + fn) where tn / (tn + fp) is at least `specificity`."""

    best, limited = ("tp", "fn"), ("tn", "fp")

    def __init__(self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, **rest: Any) -> None:
        super().__init__(specificity, num_thresholds, class_id, **rest)


class SpecificityAtSensitivity(_Best):
    """The best tn / (tn + fp) where tp / (tp + fn) is at least `sensitivity`."""

    best, limited = ("tn", "fp"), ("tp", "fn")

    def __init__(self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, **rest: Any) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, **rest)


class PrecisionAtRecall(_Best):
    """The best tp / (tp + fp) where tp / (tp + fn) is at least `recall`."""

    best, limited = ("tp", "fp"), ("tp", "fn")

    def __init__(self, recall: float, num_thresholds: int = 200, class_id: int | None = None, **rest: Any) -> None:
        super().__init__(recall, num_thresholds, class_id, **rest)


class RecallAtPrecision(_Best):
    """The best tp / (tp + fn) where tp / (tp + fp) is at least `precision`."""

    best, limited = ("tp", "fn"), ("tp", "fp")

    def __init__(self, precision: float, num_thresholds: int = 200, class_id: int | None = None, **rest: Any) -> None:
        super().__init__(precision, num_thresholds, class_id, **rest)


def are_even(thresholds: Sequence[float]) -> bool:
    """Whether Keras takes three thresholds or more to be 0, 1 / (T - 1), …, 1."""
    last = len(thresholds) - 1
    return last > 1 and all(abs(t - i / last) <= 1e-7 + 1e-5 * i / last for i, t in enumerate(thresholds))
