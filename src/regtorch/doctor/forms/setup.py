"""The setup that `diagnose` examines, read from what a user gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from regtorch.doctor.forms.batches import Parts, dtype_of, generators_of, loaded, parts_of
from regtorch.doctor.forms.losses import Loss, SumOfLosses, loss_of, modules_of_loss, takes_weights
from regtorch.doctor.forms.passing import Passing, takes_positional
from regtorch.doctor.forms.trees import Path, leaves_of, tensors_of, with_part
from regtorch.doctor.forms.views import Whole, separated
from regtorch.doctor.observe.form import Form
from regtorch.doctor.observe.pairs import Batch, Passed, fresh
from regtorch.doctor.observe.restored import random_numbers_kept
from regtorch.doctor.observe.undo import Undo

__all__ = ["Setup", "read_batches", "setup_of_net", "single_inputs", "under"]


@dataclass(frozen=True)
class Setup:
    """The arguments of `Subject.admit`."""

    model: nn.Module
    loss_fn: Callable[[Any, Tensor], Any]
    pairs: Sequence[Batch]
    optimizer: Any
    rules: Any
    form: Form


def read_batches(batches: Any, undo: Undo) -> list[Any]:
    """The first batches of a loader, whose random number generators `undo` restores."""
    undo.add(*random_numbers_kept(*generators_of(batches)))
    return loaded(batches)


def setup_of_net(
    model: Any,
    loss_fn: Any,
    batches: Any,
    optimizer: Any,
    rules: Any,
    undo: Undo,
    run: Callable[[Any], Any] | None = None,
) -> Setup:
    """The setup of a net, a loss and batches.

    Args:
        model: the net.
        loss_fn: as in `diagnose`.
        batches: as in `diagnose`.
        optimizer: as in `diagnose`.
        rules: as in `diagnose`.
        undo: restores what reading the batches changes.
        run: calls the net with inputs; None: as its signature says.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the loss is unknown, or there are no batches.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}; pass an object of it" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"diagnose: model must be a torch.nn.Module, received {what}")
    loss = loss_of(loss_fn)
    weights = takes_weights(loss)
    takes = partial(takes_positional, model)
    given = (_with_targets_together(batch, loss, takes) for batch in read_batches(batches, undo))
    parts = [parts_of(batch, dtype_of(model), weights=weights, inputs=takes) for batch in given]
    called = run or Passing(model)
    single = single_inputs([part.x for part in parts])
    inputs = [part.x for part in parts]
    whole = Whole(loss, [part.y for part in parts], [part.weight for part in parts])
    several = isinstance(loss, SumOfLosses) or any(not isinstance(y, Tensor) for y in whole.targets)
    several = several or any(weight is not None for weight in whole.weights)

    def output(x: Any, number: int) -> Any:
        result = called(x if single is None else with_part(fresh(inputs[number]), single, x))
        return Passed(result, number) if several else result

    form = Form(output, lambda obs: separated(obs, whole), modules_of_loss(loss))
    return Setup(model, under(whole) if several else loss, _pairs(parts, single), optimizer, rules, form)


def _with_targets_together(batch: Any, loss: Loss, takes: Callable[[int], bool]) -> Any:
    """(input, (target, …)) of a batch with a target for each of a list of losses, unless the net takes more inputs."""
    if not isinstance(loss, SumOfLosses) or type(batch) not in (list, tuple):
        return batch
    count = len(loss.parts)
    listed = count > 1 and list(loss.parts) == [(index,) for index in range(count)]
    if listed and len(batch) == count + 1 and (takes(1) or not takes(count)):
        return batch[0], tuple(batch[1:])
    return batch


def under(whole: Whole) -> Loss:
    """The loss of a batch that went through the net."""

    def loss(passed: Any, _: Tensor) -> Any:
        number = passed.number
        return whole.total(passed.outputs, fresh(whole.targets[number]), whole.weights[number])

    return loss


def single_inputs(inputs: Sequence[Any]) -> Path | None:
    """Where the only tensor of each nest of inputs is; None if there are several, or they are no nests."""
    places = {tuple(tensors_of(x)) for x in inputs}
    only = next(iter(places)) if len(places) == 1 else ()
    if len(only) != 1 or only == ((),) or any(len(leaves_of(x)) > 1 for x in inputs):
        return None
    return only[0]


def _pairs(parts: Sequence[Parts], single: Path | None) -> list[Batch]:
    """The batches as pairs, of which a nest of targets counts by its first tensor."""
    inputs = [part.x if single is None else tensors_of(part.x)[single] for part in parts]
    return [(x, next(iter(tensors_of(part.y).values()))) for x, part in zip(inputs, parts, strict=True)]
