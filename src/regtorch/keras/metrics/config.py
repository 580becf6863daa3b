"""Keras's metrics by name or config, as torchmetrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from torch import Tensor

from regtorch.checks import shown
from regtorch.extras import needed_by
from regtorch.keras.identifiers import identify
from regtorch.keras.losses.config import LOSSES, named
from regtorch.keras.metrics.values import VALUES, Values, accuracy_by_shape

if TYPE_CHECKING:
    from regtorch.lightning.keras_metrics.metric import KerasMetric

__all__ = ["metric"]

_MODULES: Mapping[str, tuple[str, ...]] = {  # in regtorch.lightning.keras_metrics
    "counts": (
        *("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives", "Precision", "Recall"),
        *("PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"),
    ),
    "auc": ("AUC",),
    "scores": ("F1Score", "FBetaScore", "R2Score"),
    "overlap": ("IoU", "BinaryIoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"),
    "mean": ("Mean", "Sum", "MeanTensor"),
}
_OWN = {name: module for module, names in _MODULES.items() for name in names}
_REFUSED = {
    "PyMetric": "PyMetric runs Python code of its own; write a torchmetrics metric",
    "Metric": "Metric is the base of metrics; name one of them",
    **{
        name: f"{name} compares whole batches or sequences, and has no value of each sample; log the loss"
        for name in ("Circle", "CTC")
    },
}
_LOSSES = {**{name: name for name in LOSSES if name not in _REFUSED}, "LogCoshError": "LogCosh"}
_KNOWN = {**VALUES, **_LOSSES, **_OWN}
_OF_VALUES_ALONE = ("Mean", "Sum", "MeanTensor")  # their update takes no targets


def metric(identifier: Any, *, channels_last: bool = True) -> KerasMetric:
    """The metric that Keras means by an identifier, as a torchmetrics metric: `update(outputs, targets)`.

    "accuracy" is, by the shapes of a batch and as in Keras: BinaryAccuracy for one output, SparseCategoricalAccuracy
    for class numbers, else CategoricalAccuracy. BinaryAccuracy's threshold is 0.5 for logits too: give {"class_name":
    "BinaryAccuracy", "config": {"threshold": 0}} for those. `update` takes Keras's `sample_weight` and the mask of the
    outputs as further arguments; Mean, Sum and MeanTensor take (values, sample_weight). `metric.name` is Keras's name.

    Args:
        identifier: a name ("accuracy", "mse", "AUC", …), a config, a Keras metric or loss function; a torchmetrics
            metric is given back.
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
        from regtorch.lightning.keras_metrics.mean import KerasMean

    if hasattr(identifier, "compute") and not isinstance(identifier, type):  # a torchmetrics metric
        return identifier
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return KerasMean(identifier, accuracy_by_shape, channels_last=channels_last)
    kind = identifier.get("class_name") if isinstance(identifier, Mapping) else identifier
    if isinstance(kind, str) and kind in _REFUSED:
        raise ValueError(f"metric: {_REFUSED[kind]}")
    outer = _wrapped(identifier)
    name, config = identify("metric", named("metric", outer.get("fn", identifier)), _KNOWN)
    given = str(
        outer.get("name") or config.get("name") or (identifier if isinstance(identifier, str) else _snake(name))
    )
    config |= getattr(identifier, "_fn_kwargs", {})  # the config of Keras's CosineSimilarity lacks its axis
    whole = "float" not in str(config.get("dtype"))
    config = {k: v for k, v in config.items() if k not in ("name", "dtype", "fn")}
    if name in _OWN:
        own = getattr(import_module(f"regtorch.lightning.keras_metrics.{_OWN[name]}"), name)
        _check(name, config, own, "whole")
        options: dict[str, Any] = {} if name in _OF_VALUES_ALONE else {"channels_last": channels_last}
        if _OWN[name] == "overlap":
            options["whole"] = whole
        return own(**config, **options, name=given)
    return KerasMean(given, _values(name, config), root=name == "RootMeanSquaredError", channels_last=channels_last)


def _values(name: str, config: dict[str, Any]) -> Values:
    """The function whose mean is the metric."""
    if name in VALUES:
        _check(name, config, VALUES[name])
        return VALUES[name](**config)
    kind = LOSSES[_LOSSES[name]]
    if config.get("ignore_class", 0) is None:  # Keras 2's
        del config["ignore_class"]
    _check(name, config, kind, "reduction", "ignore_class")
    loss = kind(**config, reduction=None, channels_last=False)  # of tensors in Keras's layout
    sign = -1 if name == "CosineSimilarity" else 1

    def values(outputs: Tensor, targets: Tensor) -> Tensor:
        return sign * loss.values(outputs, targets.to(outputs.dtype))[0]

    return values


def _check(name: str, config: Mapping[str, Any], kind: Any, *hidden: str) -> None:
    """Check the names of settings.

    Raises:
        ValueError: the metric has no such setting, or lacks one.
    """
    own = signature(kind).parameters
    inner = {"name", "channels_last", *hidden}
    allowed = {key: p for key, p in own.items() if key not in inner and p.kind is not p.VAR_KEYWORD}
    if unknown := sorted(config.keys() - allowed.keys()):
        raise ValueError(f"metric: {name} has no {', '.join(unknown)}; received {shown(dict(config))}")
    missing = [key for key, p in allowed.items() if p.default is p.empty and key not in config]
    if missing:
        raise ValueError(f"metric: {name} needs {', '.join(missing)}; received {shown(dict(config))}")


def _wrapped(identifier: Any) -> Mapping[str, Any]:
    """The config of a MeanMetricWrapper, which Keras makes of a function; empty for others."""
    if not isinstance(identifier, Mapping) or identifier.get("class_name") != "MeanMetricWrapper":
        return {}
    config = identifier.get("config")
    return config if isinstance(config, Mapping) and config.get("fn") is not None else {}


def _snake(name: str) -> str:
    """Keras's name of a class's objects."""
    parts = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parts).lower()
