"""Nets that compute their own loss from a dict, as Hugging Face's do, and transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import Refused
from regtorch.doctor.forms.attributes import attributes_kept
from regtorch.doctor.forms.batches import TARGETS, dtype_of
from regtorch.doctor.forms.own_loss import views_of_logits
from regtorch.doctor.forms.passing import Passing
from regtorch.doctor.forms.setup import Setup, read_batches
from regtorch.doctor.forms.trees import as_tensors, tensors_of
from regtorch.doctor.observe.form import Form
from regtorch.doctor.observe.pairs import Batch, Passed
from regtorch.doctor.observe.undo import Undo

__all__ = ["of_net", "of_trainer"]

Step = Callable[[Any], tuple[Any, Any]]  # loss and outputs of a batch


def of_net(model: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of a net whose outputs have the loss.

    Raises:
        TypeError: the model is no net, or there are no batches that are dicts.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"diagnose: model must be a torch.nn.Module, received {type(model).__name__}")
    if batches is None:
        raise TypeError("diagnose: batches must be a list or loader of (input, target), received None")
    given = [as_tensors(batch, dtype_of(model)) for batch in read_batches(batches, undo)]
    wrong = next((batch for batch in given if not isinstance(batch, Mapping)), None)
    if wrong is not None:
        raise TypeError(
            "diagnose: loss_fn must be a function of output and target, or a loss's name such as 'cross_entropy', "
            "received None; only a net that returns its loss goes without, with dicts as batches, not a "
            f"{type(wrong).__name__}"
        )
    passing = Passing(model)

    def step(batch: Any) -> tuple[Any, Any]:
        outputs = passing(batch)
        loss = loss_in(outputs)
        if loss is None:
            raise Refused(
                f"diagnose: loss_fn is None, and {type(model).__name__} returns no loss; give a function of output and "
                "target, or batches with the labels from which it computes one"
            )
        return loss, outputs

    return setup_of_steps(model, step, given, optimizer, rules)


def loss_in(outputs: Any) -> Any:
    """The loss in the outputs of a net; None without one."""
    if isinstance(outputs, Mapping):
        return outputs.get("loss")
    if isinstance(outputs, tuple) and not hasattr(outputs, "_fields"):
        first = outputs[0] if outputs else None
        return first if isinstance(first, Tensor) and first.ndim == 0 else None
    return getattr(outputs, "loss", None)


def of_trainer(trainer: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of transformers' Trainer, which is left as it was.

    Raises:
        TypeError: a loss is given, which the Trainer has.
        ValueError: the Trainer has no training data.
    """
    if loss_fn is not None and (batches is not None or callable(loss_fn)):
        raise TypeError("diagnose: loss_fn must be None for a Trainer, which computes the loss itself, by compute_loss")
    undo.add(*attributes_kept(trainer, trainer.accelerator, trainer.args, trainer.state))
    loader = batches if batches is not None else loss_fn
    if loader is None:
        if trainer.train_dataset is None:
            raise ValueError("diagnose: the Trainer has no train_dataset; build it with one, or give batches")
        loader = trainer.get_train_dataloader()
    own = trainer.optimizer if optimizer is None else optimizer
    if own is None:
        own = trainer.create_optimizer()
    model = trainer.model
    given = [trainer._prepare_inputs(batch) for batch in read_batches(loader, undo)]

    def step(batch: Any) -> tuple[Any, Any]:
        return trainer.compute_loss(model, batch, return_outputs=True)

    return setup_of_steps(model, step, given, own, rules, trainer.args.label_smoothing_factor, "compute_loss")


def setup_of_steps(
    model: nn.Module,
    step: Step,
    given: Sequence[Any],
    optimizer: Any,
    rules: Any,
    smoothing: float = 0.0,
    loss: str = "the net",
) -> Setup:
    """The setup of a step that gives a batch's loss and outputs."""
    labels = [_labels(batch) for batch in given]
    pairs: list[Batch] = [(batch, _counted(batch) if y is None else y) for batch, y in zip(given, labels, strict=True)]

    def run(x: Any, number: int) -> Passed:
        value, outputs = step(x)
        return Passed(outputs, number, value)

    form = Form(run, lambda obs: views_of_logits(obs, labels, smoothing), loss=loss)
    return Setup(model, lambda passed, _: passed.loss, pairs, optimizer, rules, form)


def _labels(batch: Any) -> Tensor | None:
    """The labels of a batch, if they are one tensor."""
    found = next((batch[key] for key in TARGETS if key in batch), None) if isinstance(batch, Mapping) else None
    return found if isinstance(found, Tensor) else None


def _counted(batch: Any) -> Tensor:
    """A tensor that tells the number of samples."""
    return next(iter(tensors_of(batch).values()), torch.zeros(0))
