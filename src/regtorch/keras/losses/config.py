"""Keras's losses by name or config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from torch import Tensor, nn

from regtorch.checks import number, shown
from regtorch.keras.by_output import is_by_name, settings_by_output
from regtorch.keras.identifiers import identify
from regtorch.keras.losses import binary, categorical, hinge, overlap, regression, similarity
from regtorch.keras.losses.loss import Loss
from regtorch.keras.losses.several import SeveralLosses

__all__ = ["LOSSES", "kind_of", "loss", "named", "several"]

LOSSES: Mapping[str, type[Loss]] = {
    name: getattr(family, name)
    for family in (binary, categorical, hinge, overlap, regression, similarity)
    for name in family.__all__
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


def loss(
    identifier: Any, *, loss_weights: Any = None, outputs: Sequence[str] = (), channels_last: bool = True
) -> nn.Module:
    """The loss that Keras means by an identifier, as a torch module: `loss(outputs, targets, sample_weight=None)`.

    A name of a function that is Keras's is taken to be Keras's function: its configs cannot tell.

    Args:
        identifier: a name ("mse", "categorical_crossentropy", "CategoricalCrossentropy", "crossentropy", …), a config,
            a Keras loss or function; a module of torch, which is given back; or a list of them, or a dict by output,
            for a net with several outputs. One is for all outputs.
        loss_weights: a list of numbers, or a dict by output; a number for a net with one output.
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
    listed = isinstance(identifier, list | tuple) or is_by_name(identifier)
    if listed or len(outputs) > 1 or loss_weights is not None:
        return several(identifier, loss_weights, outputs, channels_last)
    if isinstance(identifier, nn.Module):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return _ByShape(channels_last=channels_last)
    name, config = identify("loss", named("loss", identifier), LOSSES)
    config |= getattr(identifier, "_fn_kwargs", {})  # a Huber's config lacks its delta, in Keras 3
    config = {k: _plain(v) for k, v in config.items() if k not in ("name", "dtype", "fn")}
    if isinstance(reduction := config.get("reduction"), str):
        config["reduction"] = _REDUCTIONS.get(reduction, reduction)
    kind = LOSSES[name]
    if unknown := sorted(config.keys() - (signature(kind).parameters.keys() - {"channels_last"})):
        raise ValueError(f"loss: {name} has no {', '.join(unknown)}; received {shown(config)}")
    return kind(**config, channels_last=channels_last)


def _plain(value: Any) -> Any:
    """A setting in which an array is a list of its numbers."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return value["config"]["value"]
    listed: Any = getattr(value, "tolist", None)
    return value if listed is None else listed()


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


def several(identifier: Any, loss_weights: Any, outputs: Sequence[str], channels_last: bool) -> SeveralLosses:
    """The loss of each output; see `loss` for the arguments and errors."""
    names = list(outputs)
    if isinstance(identifier, list | tuple):
        count = len(identifier) if not names else len(names)
    elif is_by_name(identifier):
        count = len(names)
    else:  # one for all outputs
        count = max(len(names), 1)
        identifier = [identifier] * count
    found = settings_by_output("loss", "loss", identifier, names, [None] * count)
    if nested := next((one for one in found if isinstance(one, list | tuple) or is_by_name(one)), None):
        raise ValueError(f"loss: an output has one loss, received {shown(nested)}; add further ones in your own module")
    if all(one is None for one in found):
        raise ValueError(f"loss: at least one output needs a loss, received {shown(identifier)}")
    if type(loss_weights) in (int, float) and count == 1:
        loss_weights = [loss_weights]
    weights = settings_by_output("loss", "loss_weights", loss_weights, names, [1.0] * count)
    weights = [1.0 if weight is None else number("loss", "loss_weights", weight) for weight in weights]
    made = [None if one is None else loss(one, channels_last=channels_last) for one in found]
    return SeveralLosses(made, weights, names)
