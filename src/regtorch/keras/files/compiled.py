"""The loss and the metrics that a net was compiled with, from its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from regtorch.keras.custom_objects import Factory, from_factory
from regtorch.keras.losses.config import loss
from regtorch.keras.losses.loss import Loss
from regtorch.keras.metrics.compiled import compiled_metrics
from regtorch.keras.net import KerasNet

if TYPE_CHECKING:
    from regtorch.lightning.keras_metrics.collection import KerasMetrics

__all__ = ["compiled_loss", "metrics_of"]


def compiled_loss(
    training: Mapping[str, Any], net: KerasNet, custom: Mapping[str, Factory], *, logits: bool
) -> nn.Module | None:
    """The loss as a torch module; None if the net was compiled without one.

    Args:
        training: Keras's compile_config or training_config.
        net: the net.
        custom: factories of user-defined losses.
        logits: whether the net gives logits where Keras's gives probabilities.

    Raises:
        ValueError: the loss is not supported, or does not take logits.
    """
    given = _with_own("loss", training.get("loss"), custom)
    if given is None:
        return None
    made = loss(
        given,
        loss_weights=training.get("loss_weights"),
        outputs=net.names_of_outputs,
        channels_last=net.channels_last,
    )
    if logits:
        parts: list[Any] = [part for part in made.modules() if isinstance(part, Loss)]
        for part in parts:
            if not hasattr(part, "from_logits"):
                raise ValueError(f"its loss {type(part).__name__} takes no logits; load it without logits=True")
            part.from_logits = True
    return made


def metrics_of(training: Mapping[str, Any], net: KerasNet, custom: Mapping[str, Factory]) -> KerasMetrics | None:
    """The metrics; None if the net was compiled without any.

    Raises:
        ValueError: a metric is not supported.
    """
    plain, weighted = (_with_own("metric", training.get(key), custom) for key in ("metrics", "weighted_metrics"))
    if not plain and not weighted:
        return None
    return compiled_metrics(
        plain,
        weighted,
        names=net.names_of_outputs,
        activations=net.activations,
        channels_last=net.channels_last,
        version=net.version,
    )


def _with_own(kind: str, tree: Any, custom: Mapping[str, Factory]) -> Any:
    """Losses or metrics in which objects of factories replace the names and configs of user-defined ones."""
    if (own := from_factory(kind, tree, custom)) is not tree:
        return own
    if isinstance(tree, Mapping) and "class_name" not in tree:
        return {name: _with_own(kind, part, custom) for name, part in tree.items()}
    return [_with_own(kind, part, custom) for part in tree] if isinstance(tree, list | tuple) else tree
