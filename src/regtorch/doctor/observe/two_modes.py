"""Whether a net gives its first layer other numbers in training than in evaluation."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor, nn

from regtorch.doctor.observe.calls import entering
from regtorch.doctor.observe.statistics import root_mean_square
from regtorch.doctor.observe.subject import Subject

__all__ = ["FAR", "differ", "is_scaled", "other_in_training"]

_APART, FAR = (1.5, 0.5), (3.0, 1.0)  # ratio of root mean squares, or deviations between means
_SCALED = 0.98  # correlation of the same numbers in both modes: a change of scale, no noise and no augmentation


def other_in_training(subject: Subject, layer: nn.Module, trained: Tensor, evaluated: Tensor) -> bool:
    """Whether the inputs of `layer` in training have another scale or mean, by more than random changes make."""
    if not differ(trained, evaluated, _APART):
        return False
    again, _ = entering(subject, layer, training=True, draw=1)
    is_random = again is None or not is_scaled(trained, again)
    return not is_random or differ(trained, evaluated, (FAR[0], _APART[1]))


def differ(trained: Tensor, evaluated: Tensor, limits: tuple[float, float]) -> bool:
    """Whether root mean squares or means lie apart."""
    if torch.equal(trained, evaluated):
        return False
    sizes, spreads = zip(
        *[(root_mean_square(t), float(t.double().std(correction=0))) for t in (trained, evaluated)], strict=True
    )
    if not all(map(isfinite, (*sizes, *spreads))) or not min(sizes):
        return False
    moved = abs(float(trained.double().mean() - evaluated.double().mean()))
    return max(sizes) > limits[0] * min(sizes) or moved > limits[1] * min(spreads)


def is_scaled(trained: Tensor, evaluated: Tensor) -> bool:
    """Whether one is the other times a number, with little noise."""
    if trained.shape != evaluated.shape:
        return False
    return float(torch.corrcoef(torch.stack([trained.flatten(), evaluated.flatten()]).double())[0, 1]) > _SCALED
