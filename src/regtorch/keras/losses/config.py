"""Keras's losses by name or config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from torch import Tensor, nn

from regtorch.checks import number, shown
from regtorch.keras.identifiers import identify
from regtorch.keras.losses.binary import BinaryCrossentropy, BinaryFocalCrossentropy, KLDivergence, Poisson
from regtorch.keras.losses.categorical import (
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from regtorch.keras.losses.hinge import CategoricalHinge, Hinge, SquaredHinge
from regtorch.keras.losses.loss import Loss
from regtorch.keras.losses.overlap import Dice, Tversky
from regtorch.keras.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
)
from regtorch.keras.losses.similarity import CTC, Circle

__all__ = ["LOSSES", "SeveralLosses", "kind_of", "loss", "named"]

LOSSES: Mapping[str, type[Loss]] = {
    kind.__name__: kind
    for kind in (
        *(BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy),
        *(SparseCategoricalCrossentropy, CategoricalGeneralizedCrossEntropy, Poisson, KLDivergence),
        *(MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError),
        *(CosineSimilarity, Huber, LogCosh, Hinge, SquaredHinge, CategoricalHinge, Dice, Tversky, Circle, CTC),
    )
}
_SHORT = {  # Keras's other names
    **{"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "mape": "MeanAbsolutePercentageError"},
    **{"msle": "MeanSquaredLogarithmicError", "bce": "BinaryCrossentropy", "kld": "KLDivergence"},
    **{"kullback_leibler_divergence": "KLDivergence", "huber_loss": "Huber", "log_cosh_error": "LogCosh"},
}
_REDUCTIONS = {"auto": "sum_over_batch_size"}  # Keras 2's


class _ByShape(nn.Module):
    """Keras's "crossentropy": binary for one output, sparse for class numbers, else categorical."""

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(
        self, outputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        name = f"{kind_of(outputs, targets, channels_last=self.channels_last)}Crossentropy"
        return LOSSES[name](channels_last=self.channels_last)(outputs, targets, sample_weight, mask)


def kind_of(outputs: Tensor, targets: Tensor, *, channels_last: bool = True) -> str:
    """Which accuracies and cross entropies Keras takes for the shapes: Binary, SparseCategorical, or Categorical."""
    dim = 1 if channels_last and outputs.ndim >= 4 else -1
    if outputs.shape[dim] == 1:
        return "Binary"
    sparse = targets.ndim < outputs.ndim or targets.shape[dim] == 1
    return "SparseCategorical" if sparse else "Categorical"


class SeveralLosses(nn.Module):
    """The weighted sum of a loss for each output: Keras's lists and dicts of losses with `loss_weights`.

    `loss(outputs, targets, sample_weight=None)` takes sequences, or dicts of targets and weights by output.

    Args:
        losses: a loss for each output; None for outputs without one.
        weights: the weight of each.
        names: the names of the outputs, for dicts.
    """

    def __init__(self, losses: Sequence[nn.Module | None], weights: Sequence[float], names: Sequence[str] = ()) -> None:
        super().__init__()
        self.losses = nn.ModuleList([nn.Identity() if one is None else one for one in losses])
        self.weights, self.names = list(weights), list(names)

    def forward(self, outputs: Any, targets: Any, sample_weight: Any = None) -> Tensor:
        """The sum.

        Raises:
            ValueError: there are not as many outputs, or targets, as losses.
        """
        parts = [self._listed(what, value) for what, value in (("outputs", outputs), ("targets", targets))]
        given = [sample_weight] * len(self.losses)
        if isinstance(sample_weight, Mapping | list | tuple):
            given = self._listed("sample_weight", sample_weight)
        total: Any = 0.0
        for loss, factor, o, y, w in zip(self.losses, self.weights, *parts, given, strict=True):
            if not isinstance(loss, nn.Identity):
                total = total + factor * loss(o, y, w)
        return total

    def _listed(self, what: str, value: Any) -> list[Any]:
        found = [value[name] for name in self.names] if isinstance(value, Mapping) else list(value)
        if len(found) != len(self.losses):
            raise ValueError(f"loss: {what} must be {len(self.losses)} tensors, one for each output, got {len(found)}")
        return found


def loss(
    identifier: Any, *, loss_weights: Any = None, outputs: Sequence[str] = (), channels_last: bool = True
) -> nn.Module:
    """The loss that Keras means by an identifier, as a torch module: `loss(outputs, targets, sample_weight=None)`.

    A name of a function that is Keras's is taken to be Keras's function: its configs cannot tell.

    Args:
        identifier: a name ("mse", "categorical_crossentropy", "CategoricalCrossentropy", "crossentropy", …), a config,
            a Keras loss or function; or a list of them, or a dict by output, for a net with several outputs.
        loss_weights: for several outputs: a list of numbers, or a dict by output.
        outputs: the names of the outputs in their order, for dicts.
        channels_last: whether the Keras net is channels last; see `rt.keras.losses.Loss`.

    Raises:
        ValueError: the loss or a setting is unknown, or a dict names another output.
        TypeError: it is nothing of the above.

    Example:
        >>> import torch, regtorch as rt
        >>> loss = rt.keras.loss({"class_name": "Huber", "config": {"delta": 2.0, "reduction": "sum"}})
        >>> loss(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)).item()
        4.5
    """
    if isinstance(identifier, list | tuple) or (isinstance(identifier, Mapping) and "class_name" not in identifier):
        return _several(identifier, loss_weights, outputs, channels_last)
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return _ByShape(channels_last=channels_last)
    name, config = identify("loss", named("loss", identifier), LOSSES)
    config |= getattr(identifier, "_fn_kwargs", {})  # a Huber's config lacks its delta, in Keras 3
    config = {k: v for k, v in config.items() if k not in ("name", "dtype", "fn")}
    if isinstance(reduction := config.get("reduction"), str):
        config["reduction"] = _REDUCTIONS.get(reduction, reduction)
    kind = LOSSES[name]
    if unknown := sorted(config.keys() - (signature(kind).parameters.keys() - {"channels_last"})):
        raise ValueError(f"loss: {name} has no {', '.join(unknown)}; received {shown(config)}")
    return kind(**config, channels_last=channels_last)


def named(what: str, identifier: Any) -> Any:
    """The identifier with a name that is a class's.

    Raises:
        ValueError: it is a function that is not Keras's.
    """
    if callable(identifier) and not hasattr(identifier, "get_config") and hasattr(identifier, "__name__"):
        if not str(identifier.__module__).startswith("keras."):
            raise ValueError(f"{what}: {identifier.__name__} is a user-defined function; call it yourself")
        identifier = identifier.__name__
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "function":
        identifier = identifier.get("config")
    if not isinstance(identifier, str):
        return identifier
    return _SHORT.get(identifier.lower(), identifier)


def _several(identifier: Any, loss_weights: Any, outputs: Sequence[str], channels_last: bool) -> SeveralLosses:
    names = list(outputs)
    count = len(identifier) if not isinstance(identifier, Mapping) else len(names)
    found = _by_output("loss", identifier, names, [None] * count)
    weights = _by_output("loss_weights", loss_weights, names, [1.0] * count)
    weights = [1.0 if weight is None else number("loss", "loss_weights", weight) for weight in weights]
    made = [None if one is None else loss(one, channels_last=channels_last) for one in found]
    return SeveralLosses(made, weights, names)


def _by_output(what: str, value: Any, names: Sequence[str], default: list[Any]) -> list[Any]:
    """One entry for each output.

    Raises:
        ValueError: an output is unknown, or there are not as many entries as outputs.
    """
    if value is None:
        return default
    if isinstance(value, Mapping):
        unknown = sorted(map(str, value.keys() - set(names)))
        if unknown:
            raise ValueError(
                f"loss: {what} names the outputs {', '.join(unknown)}; the net's are {names}, see outputs="
            )
        return [value.get(name, unset) for name, unset in zip(names, default, strict=True)]
    if not isinstance(value, list | tuple) or len(value) != len(default):
        raise ValueError(
            f"loss: {what} must have one entry for each of {len(default)} outputs, received {shown(value)}"
        )
    return list(value)
