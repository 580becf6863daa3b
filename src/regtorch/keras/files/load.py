"""Load a whole net from Keras's files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from regtorch.bound.activity import Activity
from regtorch.checks import flag
from regtorch.constraints import Constraint
from regtorch.keras.build import on_meta
from regtorch.keras.custom_objects import Factory, check_custom
from regtorch.keras.files.compiled import compiled_loss, metrics_of
from regtorch.keras.files.optimizer_state import compiled_optimizer
from regtorch.keras.files.saved import Saved, saved
from regtorch.keras.files.weights import fill
from regtorch.keras.files.weights_by_path import matched
from regtorch.keras.net import KerasNet
from regtorch.keras.optimizers import KerasOptimizer
from regtorch.penalties import Penalty

if TYPE_CHECKING:
    from regtorch.lightning.keras_metrics.collection import KerasMetrics

__all__ = ["Loaded", "load"]


class Loaded(NamedTuple):
    """A net of Keras's, and all that it was trained with.

    Attributes:
        net: the net with its weights.
        rules: its regularizers and constraints, to be bound with `rule.on(net)`.
        optimizer: over the net's parameters, with its moments and its number of steps; None if it was not compiled.
        loss: `loss(outputs, targets, sample_weight=None)`; `rt.keras.losses.SeveralLosses` for several outputs or with
            `loss_weights`; None if it was not compiled.
        metrics: torchmetrics by Keras's names, with `update(outputs, targets)`, `compute()` and `reset()`; None if it
            was compiled without any.
    """

    net: KerasNet
    rules: list[Penalty | Constraint | Activity]
    optimizer: KerasOptimizer | None
    loss: nn.Module | None
    metrics: KerasMetrics | None


def load(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Factory] | None = None,
    *,
    logits: bool = False,
    compile: bool = True,
    finite: bool = True,
) -> Loaded:
    """Load a net that Keras saved: its weights, its rules, and the optimizer, loss and metrics it was compiled with.

    Read are `.keras` files and `model.h5` of Keras 2 and 3; Keras need not be installed, h5py must be. Nothing in a
    file is ever run: no pickle, and no code of a Lambda. A file of weights alone goes to `load_weights`. For images,
    rules, frozen layers and the differences between Keras 2 and 3, of which the file's is followed, see `from_config`.

    Args:
        path: the file.
        custom_objects: as in `from_config`; a loss's function returns a module, called with outputs and targets, a
            metric's a torchmetrics metric.
        logits: leave out the softmax or sigmoid at each output, as in `from_config`.
        compile: False leaves out the optimizer, the loss and the metrics.
        finite: refuse non-finite numbers; False loads them unchanged.

    Returns:
        The net, its rules, the optimizer over its parameters, the loss and the metrics.

    Raises:
        TypeError: `path` is not a path; otherwise as `from_config`.
        FileNotFoundError: there is no file.
        ModuleNotFoundError: h5py is not installed.
        ValueError: it is another kind of file, or is cut off, damaged, encrypted or unsafe; its config is not supported
            (see `from_config`); or its weights are not those of its config. The message names the file.

    Example:
        >>> import tempfile, regtorch as rt
        >>> layers = [{"class_name": "Dense", "config": {"units": 2, "batch_shape": [None, 3]}}]
        >>> net, _ = rt.keras.from_config({"class_name": "Sequential", "config": {"layers": layers}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rt.keras.save(net, f"{folder}/model.keras")
        ...     rt.keras.load(f"{folder}/model.keras").net
        KerasNet(
          (dense_0): Dense(
            in_features=3, out_features=2, bias=True
            (activation): Identity()
          )
        )
    """
    flag("load", "compile", compile)
    flag("load", "finite", finite)
    with saved("load", path) as given:
        if given.config is None:
            raise ValueError(
                "it has weights and no config; build the net with rt.keras.from_config and give the file to "
                "rt.keras.load_weights(net, path)"
            )
        with _explained(given):
            builder, net = on_meta(given.config, logits=logits, version=given.major, custom_objects=custom_objects)
        pairs = matched(net, given.file)
        builder.allocate(net)
        fill(pairs, given, finite=finite)
        made, loss, metrics, training = None, None, None, (given.training or {}) if compile else {}
        if training:
            net.config = {**net.config, "compile_config": training}
            with _optional():
                made = compiled_optimizer(given, net)
                custom = check_custom("load", custom_objects)
                loss = compiled_loss(training, net, custom, logits=logits)
                metrics = metrics_of(training, net, custom)
    return Loaded(net, builder.rules.of(net), made, loss, metrics)


@contextmanager
def _optional() -> Iterator[None]:
    """Say how to load a file whose optimizer, loss or metrics are refused."""
    try:
        yield
    except ValueError as error:
        raise type(error)(
            f"{error}; for a loss or metric of your own give custom_objects={{name: function}}, a function of its "
            "config that returns a module or a torchmetrics metric; load(path, compile=False) leaves the optimizer, "
            "loss and metrics out"
        ) from None


@contextmanager
def _explained(given: Saved) -> Iterator[None]:
    """Say more where a config is refused."""
    try:
        yield
    except ValueError as error:
        notes = [str(error)]
        if "(Lambda) is not supported" in notes[0]:
            notes.append("a Lambda's code is marshalled Python, which is never run")
        if given.is_newer:
            notes.append(f"the file is of Keras {given.version}, newer than this version of regtorch knows")
        raise type(error)("; ".join(notes)) from None
