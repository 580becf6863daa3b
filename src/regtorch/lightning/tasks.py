"""Tasks: the loss and score of a net's outputs, and which task outputs and targets fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy, MulticlassAccuracy
from torchmetrics.regression import R2Score

from regtorch.checks import share

__all__ = ["Task", "binary", "classification", "regression", "smoothed", "task_of"]


def _identity(outputs: Tensor) -> Tensor:
    return outputs


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        score: name of the score, of which more is better.
        loss: of outputs and targets, a mean over samples. Classes may be soft: shares (N, classes), as those of mixed
            samples.
        metric: returns a new metric that computes the score.
        predict: maps outputs to the metric's predictions.
        labels: maps targets to the metric's targets: of a soft class the one with the largest share.
        smoothed: maps a strength to the loss with label smoothing; None without classes.
    """

    score: str
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[], Metric]
    predict: Callable[[Tensor], Tensor]
    labels: Callable[[Tensor], Tensor] = _identity
    smoothed: Callable[[float], Callable[[Tensor, Tensor], Tensor]] | None = None


def classification(num_classes: int) -> Task:
    """Logits (N, num_classes) against class numbers (N,): cross entropy and accuracy."""
    return Task(
        "accuracy",
        _cross_entropy,
        # Validating arguments would wait for the device at every step.
        lambda: MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        _identity,
        _labels,
        lambda smoothing: partial(_cross_entropy, smoothing=smoothing),
    )


def binary() -> Task:
    """One logit (N, 1) against 0 and 1 (N,): binary cross entropy and accuracy."""
    return Task(
        "accuracy",
        _binary_cross_entropy,
        lambda: BinaryAccuracy(validate_args=False),
        _is_positive,
        _labels,
        lambda smoothing: partial(_binary_cross_entropy, smoothing=smoothing),
    )


def regression() -> Task:
    """Outputs (N, k) against targets (N, k): mean squared error and R²."""
    return Task("r2", F.mse_loss, _R2, _identity)


def smoothed(
    task: Task, label_smoothing: float, loss: Callable[[Tensor, Tensor], Tensor] | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss: `loss` or the task's, the latter with label smoothing if above 0.

    Raises:
        ValueError: the task has no classes to smooth, or the strength is not in [0, 1).
    """
    if not label_smoothing:
        return task.loss if loss is None else loss
    strength = share("RegularizedModule", "label_smoothing", label_smoothing, "0.1 is usual", zero=True)
    if loss is not None:
        raise ValueError("label_smoothing: a custom loss is not smoothed; smooth it yourself, and leave this out")
    if task.smoothed is None:
        raise ValueError("label_smoothing: the targets are not classes; leave it out")
    return task.smoothed(strength)


def task_of(net: str, outputs: Any, targets: Tensor, num_classes: int | None) -> Task:
    """The task that outputs and targets fit.

    Args:
        net: the net's name, for messages.
        outputs: the net's outputs for a batch.
        targets: the batch's targets: class numbers (N,), or floats (N, k).
        num_classes: the number of classes in the data; None for a regression.

    Raises:
        ValueError: outputs and targets do not match.
    """
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(targets):
        what = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"{net}: expected outputs of shape (N, width) for {len(targets)} samples, received {what}")
    if targets.is_floating_point():
        if outputs.shape != targets.shape:
            raise ValueError(
                f"{net} has outputs of width {outputs.shape[1]}, the targets have the shape "
                f"{list(targets.shape)}; choose a net with that many outputs, or data with classes"
            )
        return regression()
    classes = max(int(targets.max()) + 1, num_classes or 0)
    if outputs.shape[1] == 1 and classes == 2:
        return binary()
    if outputs.shape[1] < classes:
        raise ValueError(
            f"{net} has outputs of width {outputs.shape[1]}, the labels have {classes} classes; "
            "choose a net with that many (model.net.num_classes='${data.num_classes}' if it has that argument)"
        )
    return classification(outputs.shape[1])


class _R2(R2Score):
    """R²; NaN for a single sample, whose variance is 0."""

    def compute(self) -> Tensor:
        return super().compute() if self.total > 1 else torch.full((), torch.nan)


def _is_positive(logits: Tensor) -> Tensor:
    return (logits > 0).squeeze(1).to(torch.int64)


def _are_soft(targets: Tensor) -> bool:
    return targets.ndim == 2 and targets.is_floating_point()


def _labels(targets: Tensor) -> Tensor:
    return targets.argmax(1) if _are_soft(targets) else targets


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of class numbers (N,), or of shares (N, classes), which are 0 for further classes of the net."""
    if _are_soft(targets):
        targets = F.pad(targets.to(logits.dtype), (0, logits.shape[1] - targets.shape[1]))
    return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def _binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy of 0 and 1 (N,), or of shares (N, 2), smoothed as with two classes."""
    positive = (targets[:, 1] if _are_soft(targets) else targets).to(logits.dtype)
    if smoothing:
        positive = (1 - smoothing) * positive + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), positive)
