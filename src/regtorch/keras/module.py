"""A LightningModule that trains a net as Keras's `compile` and `fit` do."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from torch import nn

from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.extras import needed_by
from regtorch.keras.losses.config import loss as loss_of
from regtorch.keras.metrics import metric as metric_of
from regtorch.keras.optimizers import optimizer as optimizer_of
from regtorch.penalties import Penalty

if TYPE_CHECKING:
    from regtorch.lightning.module import RegularizedModule

__all__ = ["regularized_module"]


def regularized_module(
    net: nn.Module,
    rules: Sequence[Penalty | Constraint | Activity],
    *,
    optimizer: Any,
    loss: Any,
    metric: Any,
    channels_last: bool = True,
) -> RegularizedModule:
    """The LightningModule that trains a net with Keras's optimizer, loss and metric, of batches (inputs, targets).

    Args:
        net: a net with one output, as from `from_config`.
        rules: its penalties and constraints, as from `from_config`.
        optimizer: as in `rt.keras.optimizer`.
        loss: as in `rt.keras.loss`.
        metric: as in `rt.keras.metric`; it is logged by Keras's name, such as `val/accuracy`.
        channels_last: whether the Keras net is channels last; see `rt.keras.losses.Loss`.

    Raises:
        ValueError: an identifier or a setting is unknown or not supported.
        TypeError: an identifier is neither a name, a config nor a Keras object.
        ModuleNotFoundError: Lightning or torchmetrics is not installed.
        SelectionError: a rule's `select` matches nothing in `net`.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
        >>> module = rt.keras.regularized_module(
        ...     net, [rt.L2(0.01)], optimizer="adam", loss="sparse_categorical_crossentropy", metric="accuracy"
        ... )
        >>> type(module).__name__
        'RegularizedModule'
    """
    with needed_by("rt.keras.regularized_module"):
        from regtorch.lightning.module import RegularizedModule
        from regtorch.lightning.tasks import Task

    optimizer_of(optimizer, net)  # refused here, not when training starts
    score = metric_of(metric, channels_last=channels_last)
    task = Task(
        score.name, loss_of(loss, channels_last=channels_last), metric=lambda: deepcopy(score), predict=lambda o: o
    )
    return RegularizedModule(
        net,
        optimizer=lambda _: optimizer_of(optimizer, net),  # of the net, whose weights have Keras's names
        task=task,
        penalties=[rule for rule in rules if not isinstance(rule, Constraint)],
        constraints=[rule for rule in rules if isinstance(rule, Constraint)],
    )
