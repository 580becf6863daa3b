"""Keras's F-scores and R²."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from regtorch.checks import integer, number, one_of
from regtorch.keras.losses.loss import EPSILON
from regtorch.lightning.keras_metrics.metric import KerasMetric, weights_like

__all__ = ["F1Score", "FBetaScore", "R2Score"]


class FBetaScore(KerasMetric):
    """(1 + β²) p r / (β² p + r) of precision p and recall r, with 1e-7 in each divisor.

    Args:
        average: None: a score for each class; "micro": of all together; "macro" and "weighted": a mean of classes.
        beta: β.
        threshold: outputs above it are positive; None: the largest of each sample.
        name: see `KerasMetric`.
        channels_last: see `KerasMetric`.
    """

    tp: Tensor
    fp: Tensor
    fn: Tensor

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        *,
        name: str,
        channels_last: bool = True,
    ) -> None:
        super().__init__(name, channels_last=channels_last)
        self.average = one_of("metric", "average", average, (None, "micro", "macro", "weighted"))
        self.beta = number("metric", "beta", beta, low=0, above=True)
        self.threshold = None if threshold is None else number("metric", "threshold", threshold, low=0, high=1)
        for count in ("tp", "fp", "fn"):
            self.add_sum(count)

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        if outputs.ndim != 2 or outputs.shape != targets.shape:
            raise ValueError(
                f"{self.name}: outputs and targets must have one shape (N, classes), received {tuple(outputs.shape)} "
                f"and {tuple(targets.shape)}"
            )
        if self.threshold is None:
            chosen = (outputs >= outputs.amax(-1, keepdim=True)) & (outputs.abs() > 1e-9)
        else:
            chosen = outputs > self.threshold
        p, y = chosen.double(), targets.double()
        weight = p.new_ones(()) if weight is None else weight.unsqueeze(1) if weight.ndim == 1 else weight
        weight = weights_like(self.name, weight, p)
        for count, values in (("tp", p * y), ("fp", p * (1 - y)), ("fn", (1 - p) * y)):
            total = (values * weight).sum() if self.average == "micro" else (values * weight).sum(0)
            setattr(self, count, getattr(self, count) + total)

    def compute(self) -> Tensor:
        """The score, or that of each class."""
        precision = self.tp / (self.tp + self.fp + EPSILON)
        recall = self.tp / (self.tp + self.fn + EPSILON)
        score = precision * recall / (self.beta**2 * precision + recall + EPSILON) * (1 + self.beta**2)
        if self.average == "weighted":
            positive = self.tp + self.fn
            return (score * positive / (positive.sum() + EPSILON)).sum()
        return score if self.average is None else score.mean()


class F1Score(FBetaScore):
    """`FBetaScore` with β = 1."""

    def __init__(
        self, average: str | None = None, threshold: float | None = None, *, name: str, channels_last: bool = True
    ) -> None:
        super().__init__(average, 1.0, threshold, name=name, channels_last=channels_last)


class R2Score(KerasMetric):
    """1 - Σ(y - o)² / Σ(y - ȳ)² of each output, and their mean.

    Args:
        class_aggregation: "uniform_average"; "variance_weighted_average"; None: a score for each output.
        num_regressors: the number of variables, for the adjusted R²; 0: R² itself.
        name: see `KerasMetric`.
        channels_last: see `KerasMetric`.
    """

    total: Tensor
    squares: Tensor
    errors: Tensor
    weight: Tensor
    samples: Tensor

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        *,
        name: str,
        channels_last: bool = True,
    ) -> None:
        super().__init__(name, channels_last=channels_last)
        kinds = (None, "uniform_average", "variance_weighted_average")
        self.aggregation = one_of("metric", "class_aggregation", class_aggregation, kinds)
        self.regressors = integer("metric", "num_regressors", num_regressors, low=0)
        for name_of in ("total", "squares", "errors", "weight", "samples"):
            self.add_sum(name_of)

    def add(self, outputs: Tensor, targets: Tensor, weight: Tensor | None, mask: Tensor | None) -> None:
        outputs, y = self.same_shape(outputs, targets)
        if y.ndim != 2:
            raise ValueError(f"{self.name}: outputs must have the shape (N, k), received {tuple(outputs.shape)}")
        outputs, y = outputs.double(), y.double()
        weight = y.new_ones(()) if weight is None else weight.unsqueeze(1) if weight.ndim == 1 else weight
        weight = weights_like(self.name, weight, y)
        sums = {"total": y, "squares": y.square(), "errors": (y - outputs).square(), "weight": torch.ones_like(y)}
        for key, values in sums.items():
            setattr(self, key, getattr(self, key) + (values * weight).sum(0))
        self.samples += y.numel()

    def compute(self) -> Tensor:
        """The score, or that of each output."""
        spread = self.squares - self.total * self.total / self.weight
        scores = 1 - self.errors / spread
        scores = torch.where(scores.isinf(), 0.0, scores)
        if self.aggregation == "variance_weighted_average":
            scores = (spread * scores).sum() / spread.sum()
        elif self.aggregation is not None:
            scores = scores.mean()
        if not self.regressors:
            return scores
        free = float(self.samples) - self.regressors - 1
        if free <= 0:
            warnings.warn(
                f"{self.name}: num_regressors={self.regressors} leaves nothing of {int(self.samples)} values for an "
                "adjusted R²; this is R² itself, as in Keras",
                stacklevel=2,
            )
            return scores
        return 1 - (1 - scores) * (self.samples - 1) / free
