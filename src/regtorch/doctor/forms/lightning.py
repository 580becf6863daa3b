"""LightningModules: the loss of their training step, their optimizer, and the batches of a datamodule."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from regtorch.doctor.forms.attributes import attributes_kept
from regtorch.doctor.forms.batches import TARGETS, dtype_of
from regtorch.doctor.forms.keras import by_output
from regtorch.doctor.forms.setup import Setup, read_batches, setup_of_net, single_inputs
from regtorch.doctor.forms.training_step import TrainingStep, loss_of_pass, views_of_step
from regtorch.doctor.forms.trees import Path, as_tensors, pick, tensors_of, with_part
from regtorch.doctor.observe.form import Form
from regtorch.doctor.observe.pairs import Passed, fresh, one_line
from regtorch.doctor.observe.undo import Undo

__all__ = ["loader_of", "of_module", "of_regularized"]


def of_module(module: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of a LightningModule, which is left as it was.

    Raises:
        ValueError: it optimizes by hand or with several optimizers, or has no batches.
    """
    if loss_fn is not None and batches is not None:  # as any other net
        return setup_of_net(module, loss_fn, _loader(module, batches), optimizer, rules, undo)
    if not module.automatic_optimization:
        raise ValueError(
            "diagnose: the LightningModule optimizes by hand (automatic_optimization=False), so its training_step is "
            "no loss; pass the net, the loss and the batches"
        )
    undo.add(*attributes_kept(module))
    _mute(module)
    loader = _loader(module, loss_fn if batches is None else batches)
    made = optimizer_of(module) if optimizer is None else optimizer
    given = [_moved(module, as_tensors(batch, dtype_of(module))) for batch in read_batches(loader, undo)]
    return _setup(module, given, made, [*_rules_of_trainer(module), *rules])


def _setup(module: Any, given: Sequence[Any], optimizer: Any, rules: Any) -> Setup:
    place, target = _places(given)
    step = TrainingStep(module)

    def run(x: Any, number: int) -> Passed:
        return step(with_part(fresh(given[number]), place, x), number)

    pairs = [(pick(batch, place), _counted(batch) if target is None else pick(batch, target)) for batch in given]
    form = Form(run, lambda obs: views_of_step(obs, step, given, target), loss="training_step")
    return Setup(module, lambda passed, _: loss_of_pass(passed), pairs, optimizer, rules, form)


def _places(given: Sequence[Any]) -> tuple[Path, Path | None]:
    """Where batches have their inputs and their target; () for all, and None if it is unknown."""
    first = given[0]
    if all(isinstance(b, tuple | list) and len(b) == 2 and isinstance(b[1], Tensor) for b in given):
        single = single_inputs([batch[0] for batch in given])
        return (0, *(single or ())), (1,)
    if isinstance(first, Mapping):
        key = next((key for key in TARGETS if all(isinstance(batch.get(key), Tensor) for batch in given)), None)
        return (), None if key is None else (key,)
    return (), None


def _counted(batch: Any) -> Tensor:
    return next(iter(tensors_of(batch).values()), torch.zeros(0))


def of_regularized(module: Any, loss_fn: Any, batches: Any, optimizer: Any, rules: Any, undo: Undo) -> Setup:
    """The setup of the net in a RegularizedModule or KerasModule, with its loss, optimizer and rules."""
    undo.add(*attributes_kept(module, *module.scores.values()))
    own = [*module.penalties, *module.constraints]
    net = module.net
    if module.output_rules.rules or getattr(net, "makes_masks", False):
        return of_module(module, loss_fn, batches, optimizer, [*own, *rules], undo)
    if loss_fn is not None and batches is not None:
        loss: Any = loss_fn
    else:
        loss, batches = _loss_of(module), loss_fn if batches is None else batches
    _mute(module)
    made = optimizer_of(module) if optimizer is None else optimizer
    return setup_of_net(net, loss, _loader(module, batches), made, [*own, *module.activities, *rules], undo)


def _loss_of(module: Any) -> Any:
    weights = getattr(module, "class_weight", None)
    if weights is None:
        return by_output(module.net, getattr(module, "losses", module.train_loss))

    def weighted(output: Any, target: Any, sample_weight: Any = None) -> Any:
        _, y, weight = module._unpacked(
            (None, target, *(() if sample_weight is None else (sample_weight,))), training=True
        )
        return module.losses(output, y, weight)

    return weighted


def _mute(module: Any) -> None:
    """Let the module log nothing, until its attributes are put back: what a loop collects is none of the doctor's."""
    for part in module.modules():
        if callable(getattr(part, "log_dict", None)):
            vars(part).update(dict.fromkeys(("log", "log_dict"), lambda *_, **__: None))


# The optimizer and the rules


def optimizer_of(module: Any) -> Optimizer | None:
    """The optimizer of a module's trainer, or that which `configure_optimizers` gives.

    Raises:
        ValueError: there are several, or it raises an error, as without a Trainer that it needs.
    """
    found = getattr(module._trainer, "optimizers", None)
    if not found:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # without one, Lightning warns of it in training
                found = list(_optimizers(module.configure_optimizers()))
        except Exception as error:
            raise ValueError(
                f"diagnose: configure_optimizers raises {one_line(error)}; pass optimizer=, or set module.trainer if "
                "it needs a Trainer"
            ) from error
    if len(found) > 1:
        raise ValueError(
            f"diagnose: configure_optimizers gives {len(found)} optimizers, and one can be examined; pass it as "
            "optimizer="
        )
    return found[0] if found else None


def _optimizers(given: Any) -> Iterator[Optimizer]:
    """The optimizers in what `configure_optimizers` returns, in each of its forms."""
    if isinstance(given, Mapping):
        yield from _optimizers(given.get("optimizer"))
    elif isinstance(given, tuple | list):
        several = given[0] if len(given) == 2 and isinstance(given[0], tuple | list) else given
        for one in several:
            yield from _optimizers(one)
    elif given is not None:
        yield given


def _rules_of_trainer(module: Any) -> list[Any]:
    """The rules of the callback `Regularize` of the module's trainer."""
    kind = getattr(sys.modules.get("regtorch.lightning.regularize"), "Regularize", None)
    if kind is None:
        return []
    callbacks = getattr(module._trainer, "callbacks", ())
    return [rule for callback in callbacks if isinstance(callback, kind) for rule in callback.bound or callback.rules]


# The batches


def _loader(module: Any, batches: Any) -> Any:
    """The loader of a datamodule, of the module itself, or the one that is given.

    Raises:
        ValueError: there are several, or none.
    """
    owner: Any = batches
    if batches is None:
        owner = getattr(module._trainer, "datamodule", None) or module
    if not callable(getattr(owner, "train_dataloader", None)):
        return batches
    return loader_of(owner)


def loader_of(owner: Any) -> Any:
    """The training loader of a datamodule, which is prepared and set up as a Trainer does.

    Raises:
        ValueError: there are several, or none.
    """
    owner.prepare_data()
    owner.setup("fit")
    loader = _made(owner.train_dataloader)
    if isinstance(loader, Mapping | list | tuple) or type(loader).__name__ == "CombinedLoader":
        raise ValueError("diagnose: train_dataloader gives several loaders; pass one, or a list of batches")
    return loader


def _made(train_dataloader: Callable[[], Any]) -> Any:
    try:
        return train_dataloader()
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":
            raise
        raise ValueError(
            "diagnose: the LightningModule has no train_dataloader; pass batches, a loader or a datamodule: "
            "rt.diagnose(module, data)"
        ) from error


def _moved(module: Any, batch: Any) -> Any:
    """A batch as training_step gets it."""
    batch = module.on_before_batch_transfer(batch, 0)
    return module.on_after_batch_transfer(module.transfer_batch_to_device(batch, module.device, 0), 0)
