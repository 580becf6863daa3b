"""The loss that a net was compiled with, from its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from regtorch.keras.losses.config import loss
from regtorch.keras.losses.loss import Loss
from regtorch.keras.net import KerasNet

__all__ = ["compiled_loss"]


def compiled_loss(training: Mapping[str, Any], net: KerasNet, *, logits: bool, channels_last: bool) -> nn.Module | None:
    """The loss as a torch module; None if the net was compiled without one.

    Args:
        training: Keras's compile_config or training_config.
        net: the net.
        logits: whether the net gives logits where Keras's gives probabilities.
        channels_last: whether Keras's net is.

    Raises:
        ValueError: the loss is not supported, or does not take logits.
    """
    given = training.get("loss")
    if given is None:
        return None
    names = net.output_names or tuple(key.layer for key in net.outputs)
    made = loss(given, loss_weights=training.get("loss_weights"), outputs=names, channels_last=channels_last)
    if logits:
        parts: list[Any] = [part for part in made.modules() if isinstance(part, Loss)]
        for part in parts:
            if not hasattr(part, "from_logits"):
                raise ValueError(f"its loss {type(part).__name__} takes no logits; load it without logits=True")
            part.from_logits = True
    return made
