"""Keras's `class_weight`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from regtorch.checks import integer, nonnegative, shown

__all__ = ["class_weights"]


def class_weights(targets: Tensor, class_weight: Mapping[int, float], *, dtype: torch.dtype | None = None) -> Tensor:
    """The sample weights (N,) that Keras makes of `fit(class_weight=…)`.

    Args:
        targets: class numbers (N,) or (N, 1), or shares of classes (N, classes), of which the largest counts.
        class_weight: weights by class number; 1 for classes that it lacks.
        dtype: of the weights; None: torch's default.

    Raises:
        ValueError: targets have another shape, or a weight is negative.
        TypeError: `class_weight` is not a dict of numbers by class number.

    Example:
        >>> import torch, regtorch as rt
        >>> rt.keras.losses.class_weights(torch.tensor([0, 2, 1]), {0: 1.0, 2: 5.0})
        tensor([1., 5., 1.])
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weights: class_weight must be a dict by class number, received {shown(class_weight)}")
    if targets.ndim not in (1, 2):
        raise ValueError(
            f"class_weights: targets must have the shape (N,), (N, 1) or (N, classes), received {tuple(targets.shape)}"
        )
    if targets.ndim == 2:
        targets = targets.squeeze(1) if targets.shape[1] == 1 else targets.argmax(1)
    classes = targets.round().long() if targets.is_floating_point() else targets.long()
    weights = torch.ones(len(classes), dtype=dtype, device=targets.device)
    for number, weight in class_weight.items():
        key = integer("class_weights", "class_weight", number, "give class numbers as keys", low=-(2**31))
        weights[classes == key] = nonnegative("class_weights", "class_weight", weight)
    return weights
