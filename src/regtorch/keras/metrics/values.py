"""The values whose means are Keras's metrics, of outputs and targets in Keras's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from regtorch.checks import flag, integer, number
from regtorch.keras.losses.config import kind_of
from regtorch.keras.losses.loss import EPSILON, aligned, checked_axis, divided

__all__ = ["VALUES", "Values", "accuracy_by_shape"]

Values = Callable[[Tensor, Tensor], Tensor]


def _accuracy() -> Values:
    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        outputs, targets = aligned(outputs, targets)
        return (outputs == targets).to(outputs.dtype)

    return values


def _binary(threshold: float = 0.5) -> Values:
    limit = number("metric", "threshold", threshold)

    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        outputs, targets = aligned(outputs, targets)
        return ((outputs > limit) == targets).to(outputs.dtype)

    return values


def _categorical() -> Values:
    return lambda outputs, targets: (outputs.argmax(-1) == targets.argmax(-1)).to(outputs.dtype)


def _sparse() -> Values:
    return lambda outputs, targets: (outputs.argmax(-1) == _numbers(outputs, targets)).to(outputs.dtype)


def _top_k(k: int = 5) -> Values:
    values = _sparse_top_k(k)
    return lambda outputs, targets: values(outputs, targets.argmax(-1))


def _sparse_top_k(k: int = 5, from_sorted_ids: bool = False) -> Values:
    """Whether the target's output is as large as the k-th largest, or the target is among the first k ids."""
    first = integer("metric", "k", k)

    def of_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
        least = outputs.topk(first, -1).values[..., -1]
        chosen = outputs.gather(-1, _numbers(outputs, targets).long().unsqueeze(-1)).squeeze(-1)
        return (chosen >= least).to(outputs.dtype)

    def of_ids(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[..., :first] == _numbers(outputs, targets).unsqueeze(-1)).any(-1).to(outputs.dtype)

    return of_ids if flag("metric", "from_sorted_ids", from_sorted_ids) else of_outputs


def _squares() -> Values:
    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        outputs, targets = aligned(outputs, targets)
        return (outputs - targets).square()

    return values


def _pearson(axis: int = -1) -> Values:
    along = checked_axis("metric", axis)

    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        parts = [x - x.mean(along, keepdim=True) for x in aligned(outputs, targets.to(outputs.dtype))]
        o, y = (x / x.square().mean(along, keepdim=True).sqrt() for x in parts)
        return (o * y).mean(along)

    return values


def _concordance(axis: int = -1) -> Values:
    """2 Σ(y - ō)(o - ō) / (var y + var o + (ȳ - ō)²): Keras subtracts ō from y too, which changes nothing."""
    along = checked_axis("metric", axis)

    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        o, y = aligned(outputs, targets.to(outputs.dtype))
        means = [x.mean(along, keepdim=True) for x in (o, y)]
        variances = [x.var(along, correction=0, keepdim=True) for x in (o, y)]
        divisor = variances[0] + variances[1] + (means[1] - means[0]).square() + EPSILON
        return (2 * (y - means[0]) * (o - means[0]) / divisor).mean(along)

    return values


def _relative(normalizer: Sequence[float] | float) -> Values:
    """Keras 2's |y - o| / normalizer, 0 where that is 0."""
    given: Any = normalizer
    if hasattr(given, "tolist"):
        given = given.tolist()
    many = isinstance(given, list | tuple)
    by = [number("metric", "normalizer", x) for x in given] if many else number("metric", "normalizer", given)

    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        o, y = aligned(outputs, targets.to(outputs.dtype))
        return divided((y - o).abs(), outputs.new_tensor(by).expand_as(o))

    return values


def _numbers(outputs: Tensor, targets: Tensor) -> Tensor:
    """Class numbers without a last dim of 1."""
    return targets.squeeze(-1) if targets.ndim == outputs.ndim and targets.shape[-1] == 1 else targets


def accuracy_by_shape(outputs: Tensor, targets: Tensor) -> Tensor:
    """The accuracy that Keras takes for the shapes."""
    kind = kind_of(outputs, targets, channels_last=False)  # in Keras's layout
    return VALUES[f"{kind}Accuracy"]()(outputs, targets)


VALUES: dict[str, Callable[..., Values]] = {
    "Accuracy": _accuracy,
    "BinaryAccuracy": _binary,
    "CategoricalAccuracy": _categorical,
    "SparseCategoricalAccuracy": _sparse,
    "TopKCategoricalAccuracy": _top_k,
    "SparseTopKCategoricalAccuracy": _sparse_top_k,
    "RootMeanSquaredError": _squares,
    "PearsonCorrelation": _pearson,
    "ConcordanceCorrelation": _concordance,
    "MeanRelativeError": _relative,
}
"""By Keras's class: a function of its settings that makes the function of outputs and targets."""
