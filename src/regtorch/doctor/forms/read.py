"""Read what a user gave: a net, or what some trainer holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from regtorch.doctor.forms import huggingface, keras, lightning, skorch
from regtorch.doctor.forms.setup import Setup, setup_of_net
from regtorch.doctor.observe.subject import check_rules
from regtorch.doctor.observe.undo import Undo

__all__ = ["read"]

Reader = Callable[[Any, Any, Any, Any, Any, Undo], Setup]

# By module and class: an object is of a class that its module has defined, or it is not loaded. None is imported here.
_READERS: Mapping[tuple[str, str], Reader] = {
    ("transformers.trainer", "Trainer"): huggingface.of_trainer,
    ("regtorch.lightning.module", "RegularizedModule"): lightning.of_regularized,
    ("lightning.pytorch.core.module", "LightningModule"): lightning.of_module,
    ("pytorch_lightning.core.module", "LightningModule"): lightning.of_module,
    ("regtorch.keras.files.load", "Loaded"): keras.of_loaded,
    ("skorch.net", "NeuralNet"): skorch.of_net,
}
_INSTEAD: Mapping[tuple[str, str], str] = {
    (
        "lightning.pytorch.trainer.trainer",
        "Trainer",
    ): "pass the LightningModule and its data: rt.diagnose(module, data)",
    (
        "pytorch_lightning.trainer.trainer",
        "Trainer",
    ): "pass the LightningModule and its data: rt.diagnose(module, data)",
    ("fastai.learner", "Learner"): "pass its parts: rt.diagnose(learn.model, learn.loss_func, learn.dls.train)",
    ("keras.src.models.model", "Model"): "save it, and pass rt.keras.load(path)",
    ("ignite.engine.engine", "Engine"): "pass the net, the loss and the batches that its function uses",
}


def read(model: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup that the arguments of `diagnose` describe; `undo` restores what reading it changes.

    Raises:
        TypeError: an argument has the wrong type, or is of a trainer that cannot be read.
        ValueError: an argument cannot be examined.
    """
    for place, instead in _INSTEAD.items():
        if _is(model, place):
            raise TypeError(
                f"diagnose: model must be a net, received a {place[1]} of {place[0].split('.')[0]}; {instead}"
            )
    check_rules(rules)
    reader = next((reader for place, reader in _READERS.items() if _is(model, place)), None)
    if reader is not None:
        return reader(model, loss_fn, batches, optimizer, rules, undo)
    if callable(getattr(batches, "train_dataloader", None)):
        batches = lightning.loader_of(batches)
    if loss_fn is None:
        return huggingface.of_net(model, batches, optimizer, rules, undo)
    if batches is None:
        raise TypeError("diagnose: batches must be a list or loader of (input, target), received None")
    return setup_of_net(model, loss_fn, batches, optimizer, rules, undo)


def _is(thing: Any, place: tuple[str, str]) -> bool:
    kind = getattr(sys.modules.get(place[0]), place[1], None)
    return isinstance(kind, type) and isinstance(thing, kind)
