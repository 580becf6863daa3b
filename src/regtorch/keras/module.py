"""A LightningModule that trains a net as Keras's `compile` and `fit` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from regtorch.bound.activity import Activity
from regtorch.constraints import Constraint
from regtorch.extras import needed_by
from regtorch.keras.by_output import is_by_name
from regtorch.keras.files import Loaded
from regtorch.keras.losses import SeveralLosses
from regtorch.keras.losses.config import several
from regtorch.keras.metrics.compiled import compiled_metrics
from regtorch.keras.net import KerasNet
from regtorch.keras.optimizers import optimizer as optimizer_of
from regtorch.penalties import Penalty

if TYPE_CHECKING:
    from regtorch.lightning.module import RegularizedModule

__all__ = ["regularized_module"]


def regularized_module(
    net: nn.Module | Loaded,
    rules: Sequence[Penalty | Constraint | Activity] | None = None,
    *,
    optimizer: Any = None,
    loss: Any = None,
    loss_weights: Any = None,
    metric: Any = None,
    metrics: Any = None,
    weighted_metrics: Any = None,
    class_weight: Mapping[int, float] | None = None,
    channels_last: bool | None = None,
) -> RegularizedModule:
    """The LightningModule that trains a net as Keras's `compile` and `fit` do.

    Batches are (inputs, targets) or (inputs, targets, sample_weight), each a tensor, or for several inputs or outputs a
    sequence or a dict by Keras's names. The loss has the rules' penalties; masks of the net's outputs are heeded in
    losses and metrics. What is logged has Keras's names: `train/loss`, `val/accuracy`, and with several outputs
    `val/NAME_loss` and `val/NAME_accuracy`.

    Args:
        net: what `load` gives, whose optimizer goes on with its moments; or a net, as from `from_config`.
        rules: the penalties and constraints of a net, as from `from_config`; None: those that were loaded.
        optimizer: as in `rt.keras.optimizer`, or one over the net's weights; None: the one that was loaded.
        loss: as in `rt.keras.loss`, for several outputs one for all, a list, or a dict by output; None: the one that
            was loaded.
        loss_weights: the weights of the losses of several outputs.
        metric: the only metric of a net with one output, as in `rt.keras.metric`.
        metrics: a list of metrics; for several outputs a list with an entry for each or a dict by output, of metrics or
            lists of them; None: those that were loaded.
        weighted_metrics: metrics that take sample weights, likewise.
        class_weight: weights by class number in training, for a net with one output.
        channels_last: whether the Keras net is channels last; None: as the net says, True if it is not Keras's.

    Raises:
        ValueError: an identifier or a setting is unknown or not supported; an optimizer, a loss or rules are missing.
        TypeError: an identifier is neither a name, a config nor a Keras object.
        ModuleNotFoundError: Lightning or torchmetrics is not installed.
        SelectionError: a rule's `select` matches nothing in `net`.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
        >>> module = rt.keras.regularized_module(
        ...     net, [rt.L2(0.01)], optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
        ... )
        >>> type(module).__mro__[1].__name__
        'RegularizedModule'
    """
    with needed_by("rt.keras.regularized_module"):
        from regtorch.lightning.keras_module import KerasModule

    if metric is not None:
        if metrics is not None:
            raise ValueError("regularized_module: give metric= or metrics=, not both")
        metrics = [metric]
    saved = net if isinstance(net, Loaded) else None
    module: nn.Module = net.net if isinstance(net, Loaded) else net
    own = module if isinstance(module, KerasNet) else None
    if loss is None and loss_weights is not None:
        raise ValueError("regularized_module: loss_weights are for loss=, which is None; give both")
    of_net = _found("rules", rules, saved)
    losses = _found("loss", loss, saved)
    made = _found("optimizer", optimizer, saved)
    if channels_last is None:
        channels_last = True if own is None else own.channels_last
    names = _names(losses) if own is None else own.names_of_outputs
    if not isinstance(losses, SeveralLosses):
        single = len(names) < 2 and not (is_by_name(losses) or isinstance(losses, list | tuple))
        losses = several([losses] if single else losses, loss_weights, names, channels_last)
    of_outputs = None if saved is None or metrics is not None or weighted_metrics is not None else saved.metrics
    if of_outputs is None:
        of_outputs = compiled_metrics(
            metrics,
            weighted_metrics,
            names=names,
            activations=() if own is None else own.activations,
            channels_last=channels_last,
        )
    return KerasModule(
        module,
        of_net,
        optimizer=made if isinstance(made, Optimizer) else optimizer_of(made, module),  # the net gives Keras's names
        loss=losses,
        metrics=of_outputs,
        class_weight=class_weight,
    )


def _found(what: str, given: Any, saved: Loaded | None) -> Any:
    """What is given, or else what was loaded.

    Raises:
        ValueError: it is neither.
    """
    found = getattr(saved, what, None) if given is None else given
    if found is None:
        why = ": the net was not compiled with one in Keras, or was loaded with compile=False" if saved else ""
        why = ": those of the net's config, or [] for none" if what == "rules" else why
        raise ValueError(f"regularized_module: {what} must be given{why}")
    return found


def _names(loss: Any) -> tuple[str, ...]:
    """The names of the outputs of a net that is not Keras's."""
    if isinstance(loss, SeveralLosses):
        return tuple(loss.names)
    if is_by_name(loss):
        return tuple(map(str, loss))
    return tuple(f"output_{i + 1}" for i in range(len(loss))) if isinstance(loss, list | tuple) else ()
