"""What `rt.keras.load` gives, with the loss, the optimizer and the rules of the file."""

from __future__ import annotations

from typing import Any

from regtorch.doctor.forms.losses import SumOfLosses, WeightedLoss
from regtorch.doctor.forms.setup import Setup, setup_of_net
from regtorch.doctor.observe.undo import Undo

__all__ = ["by_output", "of_loaded"]


def of_loaded(saved: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of a file of Keras's; what is given counts more than what it holds.

    Raises:
        ValueError: neither the file nor the user has a loss.
    """
    if batches is None and loss_fn is not None and not callable(loss_fn):
        loss_fn, batches = None, loss_fn
    loss = loss_fn if loss_fn is not None else saved.loss
    if loss is None:
        raise ValueError(
            "diagnose: loss_fn must be given: the net was not compiled with a loss in Keras; pass rt.keras.loss(name)"
        )
    if batches is None:
        raise TypeError("diagnose: batches must be a list or loader of (input, target), received None")
    made = saved.optimizer if optimizer is None else optimizer
    return setup_of_net(saved.net, by_output(saved.net, loss), batches, made, [*saved.rules, *rules], undo)


def by_output(net: Any, loss: Any) -> Any:
    """The losses of several outputs, each with its weight, by the keys that outputs and targets have."""
    parts = getattr(loss, "losses", None)
    if parts is None or len(parts) < 2:
        return loss
    names = getattr(net, "output_names", None)
    keys = range(len(parts)) if names is None else names
    used = ((key, i) for i, key in enumerate(keys) if type(parts[i]).__name__ != "Identity")
    return SumOfLosses({(key,): WeightedLoss(parts[i], loss.weights[i]) for key, i in used})
