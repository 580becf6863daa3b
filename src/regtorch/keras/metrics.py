"""Keras's metrics that are means over samples, by name or config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from torch import Tensor

from regtorch.checks import integer, number, shown
from regtorch.extras import needed_by
from regtorch.keras.identifiers import identify
from regtorch.keras.losses.config import LOSSES, kind_of, named
from regtorch.keras.losses.loss import Loss, aligned
from regtorch.keras.spec import Axes

if TYPE_CHECKING:
    from regtorch.lightning.keras_metrics import KerasMean

__all__ = ["metric"]


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    outputs, targets = aligned(outputs, targets)
    return (outputs == targets).to(outputs.dtype)


def _binary(outputs: Tensor, targets: Tensor, threshold: float = 0.5) -> Tensor:
    outputs, targets = aligned(outputs, targets)
    return ((outputs > threshold) == targets).to(outputs.dtype)


def _categorical(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(-1) == targets.argmax(-1)).to(outputs.dtype)


def _sparse(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(-1) == _numbers(outputs, targets)).to(outputs.dtype)


def _top_k(outputs: Tensor, targets: Tensor, k: int = 5) -> Tensor:
    return _sparse_top_k(outputs, targets.argmax(-1), k)


def _sparse_top_k(outputs: Tensor, targets: Tensor, k: int = 5) -> Tensor:
    """Whether the target's output is as large as the k-th largest."""
    least = outputs.topk(k, -1).values[..., -1]
    chosen = outputs.gather(-1, _numbers(outputs, targets).long().unsqueeze(-1)).squeeze(-1)
    return (chosen >= least).to(outputs.dtype)


def _numbers(outputs: Tensor, targets: Tensor) -> Tensor:
    """Class numbers without a last dim of 1."""
    return targets.squeeze(-1) if targets.ndim == outputs.ndim and targets.shape[-1] == 1 else targets


def _squares(outputs: Tensor, targets: Tensor) -> Tensor:
    outputs, targets = aligned(outputs, targets)
    return (outputs - targets).square()


_ACCURACIES: Mapping[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "Accuracy": (_accuracy, ()),
    "BinaryAccuracy": (_binary, ("threshold",)),
    "CategoricalAccuracy": (_categorical, ()),
    "SparseCategoricalAccuracy": (_sparse, ()),
    "TopKCategoricalAccuracy": (_top_k, ("k",)),
    "SparseTopKCategoricalAccuracy": (_sparse_top_k, ("k",)),
}
_LOSSES = {  # metrics that are the mean of a loss
    **{name: name for name in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError")},
    **{name: name for name in ("MeanSquaredLogarithmicError", "CosineSimilarity", "KLDivergence", "Poisson")},
    **{name: name for name in ("Hinge", "SquaredHinge", "CategoricalHinge", "BinaryCrossentropy")},
    **{name: name for name in ("CategoricalCrossentropy", "SparseCategoricalCrossentropy")},
    "LogCoshError": "LogCosh",
}
_KNOWN = {**_ACCURACIES, **_LOSSES, "RootMeanSquaredError": None}
_UNSET = (("ignore_class", None), ("from_sorted_ids", False))  # settings that are not supported, at their defaults


class _Values:
    """Values of a function in Keras's layout.

    Args:
        of: the function; None: the accuracy that Keras takes for the shapes.
        channels_last: as in `metric`.
    """

    def __init__(self, of: Callable[[Tensor, Tensor], Tensor] | None, channels_last: bool) -> None:
        self.of, self.channels_last = of, channels_last

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        of = self.of
        if of is None:
            kind = kind_of(outputs, targets, channels_last=self.channels_last)
            of = _ACCURACIES[f"{kind}Accuracy"][0]
        axes = Axes(self.channels_last)
        targets = axes.to_keras(targets) if targets.ndim == outputs.ndim else targets
        return of(axes.to_keras(outputs), targets)


def metric(identifier: Any, *, channels_last: bool = True) -> KerasMean:
    """The metric that Keras means by an identifier, as a torchmetrics metric: `update(outputs, targets)`.

    "accuracy" is, by the shapes of a batch and as in Keras: BinaryAccuracy for one output, SparseCategoricalAccuracy
    for class numbers, else CategoricalAccuracy. BinaryAccuracy's threshold is 0.5 for logits too: give {"class_name":
    "BinaryAccuracy", "config": {"threshold": 0}} for those. `update` takes Keras's `sample_weight` as a third argument.

    Args:
        identifier: a name ("accuracy", "mse", "TopKCategoricalAccuracy", …), a config or a Keras metric. Metrics that
            are not means over samples, such as AUC and Precision, are refused: take those of torchmetrics.
        channels_last: whether the Keras net is channels last; see `rt.keras.losses.Loss`.

    Raises:
        ValueError: the metric or a setting is unknown or not supported.
        TypeError: it is nothing of the above.
        ModuleNotFoundError: torchmetrics or Lightning is not installed.

    Example:
        >>> import torch, regtorch as rt
        >>> metric = rt.keras.metric("accuracy")
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 0]))
        >>> metric.compute().item()
        0.5
    """
    with needed_by("rt.keras.metric"):
        from regtorch.lightning.keras_metrics import KerasMean

    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return KerasMean("accuracy", _Values(None, channels_last))
    name, config = identify("metric", named("metric", identifier), _KNOWN)
    given = str(config.get("name") or name)
    config |= getattr(identifier, "_fn_kwargs", {})  # the config of Keras's CosineSimilarity lacks its axis
    config = {k: v for k, v in config.items() if k not in ("name", "dtype", "fn") and (k, v) not in _UNSET}
    if name in _LOSSES:
        loss = _loss(name, config, channels_last)
        return KerasMean(given, partial(_negative, loss) if name == "CosineSimilarity" else loss)
    of, allowed = _ACCURACIES.get(name, (_squares, ()))
    if unknown := sorted(config.keys() - set(allowed)):
        raise ValueError(f"metric: {name} has no {', '.join(unknown)}; received {shown(config)}")
    if "k" in config:
        config["k"] = integer("metric", "k", config["k"])
    if "threshold" in config:
        config["threshold"] = number("metric", "threshold", config["threshold"])
    root = name == "RootMeanSquaredError"
    return KerasMean(given, _Values(partial(of, **config), channels_last), root=root)


def _loss(name: str, config: Mapping[str, Any], channels_last: bool) -> Loss:
    """The loss whose mean is the metric.

    Raises:
        ValueError: the metric has no such setting.
    """
    kind = LOSSES[_LOSSES[name]]
    allowed = signature(kind).parameters.keys() - {"reduction", "channels_last", "ignore_class"}
    if unknown := sorted(config.keys() - allowed):
        raise ValueError(f"metric: {name} has no {', '.join(unknown)}; received {shown(dict(config))}")
    return kind(**config, reduction=None, channels_last=channels_last)


def _negative(loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    return -loss(outputs, targets)
