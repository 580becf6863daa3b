"""skorch's nets, with their module, criterion, optimizer and iterator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from regtorch.doctor.forms.attributes import attributes_kept
from regtorch.doctor.forms.losses import modules_of_loss
from regtorch.doctor.forms.setup import Setup, setup_of_net
from regtorch.doctor.observe.undo import Undo

__all__ = ["of_net"]


def of_net(net: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of an initialized net; `batches` is (X, y) as in `fit`, a dataset, or a loader.

    Raises:
        TypeError: a loss is given, which the net has, or there are no data.
        ValueError: the net is not initialized.
    """
    if batches is None and loss_fn is not None and not callable(loss_fn):
        loss_fn, batches = None, loss_fn
    if loss_fn is not None:
        raise TypeError(
            "diagnose: loss_fn must be None for a net of skorch, which has its criterion; pass rt.diagnose(net, (X, y))"
        )
    if batches is None:
        raise TypeError("diagnose: batches must be (X, y) as in fit, a data set or a loader, received None")
    if not getattr(net, "initialized_", False):
        raise ValueError("diagnose: the net of skorch is not initialized; call net.initialize() first")
    undo.add(*attributes_kept(net))
    if isinstance(batches, tuple) and len(batches) == 2:
        batches = net.get_iterator(net.get_dataset(*batches), training=True)
    elif hasattr(batches, "__getitem__") and not isinstance(batches, list | tuple):
        batches = net.get_iterator(net.get_dataset(batches), training=True)
    made = net.optimizer_ if optimizer is None else optimizer

    def loss(output: Any, target: Any) -> Any:
        return net.get_loss(output[0] if isinstance(output, tuple) else output, target, X=None, training=True)

    setup = setup_of_net(net.module_, loss, batches, made, rules, undo, net.infer)
    modules = [*setup.form.modules, *modules_of_loss(net.criterion_)]
    return replace(setup, form=replace(setup.form, modules=modules))
