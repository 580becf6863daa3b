"""Run all measurements and rank the findings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from threading import RLock
from typing import Any

import torch
from torch.optim import Optimizer

from regtorch.doctor.agreement import agreed
from regtorch.doctor.causes import CAUSES, MEASUREMENTS
from regtorch.doctor.finding import Finding, Findings, Refused, Unfit, in_order, listed
from regtorch.doctor.forms.attributes import attributes_kept
from regtorch.doctor.forms.read import read
from regtorch.doctor.observe.drawing import draws_elsewhere
from regtorch.doctor.observe.form import Views
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import one_line
from regtorch.doctor.observe.restored import (
    bindings_kept,
    others_left_alone,
    random_numbers_kept,
    surroundings_kept,
)
from regtorch.doctor.observe.subject import Rule, Subject
from regtorch.doctor.observe.undo import Undo

__all__ = ["diagnose", "findings_of"]

# Imported by name: adding a measurement takes its file and its rows in the table of causes.
_FINDS: Mapping[str, Callable[[Observed], Iterator[Finding]]] = {
    name: import_module(f"regtorch.doctor.measure.{name}").find for name in MEASUREMENTS
}
_OF_OUTPUTS = {"constant_loss", "labels", "loss_form", "probabilities", "sign", "order", "head", "summed"}
_OF_INPUTS = {"input_scale"}
_OF_INNER = {"loss_form", "probabilities", "head"}
_OF_WHOLE = {"loss_at_chance", "constant_predictions", "log_softmax_before_cross_entropy", "ignored_targets"}
_ALONE = RLock()  # random numbers and the filters of warnings are all threads'


def diagnose(
    model: Any,
    loss_fn: Any = None,
    batches: Any = None,
    optimizer: Optimizer | None = None,
    rules: Sequence[Rule] = (),
) -> Findings:
    """Find out why a net does not learn, or learns worse, under its rules.

    Trains a few steps on the model itself and restores everything bit for bit: weights, buffers, gradients, modes and
    plain attributes of the model, of a loss that is a module and of everything the optimizer owns, the optimizer's
    state and the random number generators. Not restored: objects of your own inside attributes, your own generators,
    and other nets called by the loss, such as a GAN's discriminator; put those in eval mode and call zero_grad()
    afterwards.

    Args:
        model: the net; or a LightningModule, transformers' Trainer, skorch's net or what `rt.keras.load` gives, which
            bring loss, optimizer and rules, and are left as they were.
        loss_fn: maps output and target to the mean loss over the batch, without penalties on weights; or the name of
            one of torch's losses, such as "cross_entropy", "mse" or "bce_with_logits"; or a dict or list with one for
            each of several outputs, whose losses are added. None: the net's own, which is in its outputs, or the
            trainer's; then the batches may stand here, as in `rt.diagnose(lightning_module, datamodule)`.
        batches: a list or loader, or a datamodule; the first 64 are used. A batch is (input, target), (input, …, input,
            target), a dict in which "labels", "label", "targets", "target" or "y" is the target, (input, target,
            weights) for a loss with three arguments, or (input, target, …, target) for a list of as many losses. Inputs
            and targets are tensors, NumPy arrays (whose floats get the dtype of the net) or tuples, lists and dicts of
            them; inputs are passed to the net whole, or as its positional or keyword arguments, as its signature says.
        optimizer: trains the net; None stands for the trainer's, or Adam with a learning rate of 0.001.
        rules: penalties and constraints, bound or not, in addition to those attached to the optimizer.

    Returns:
        The findings, most important first, as a list that `print` and a notebook show; empty if there are none. With
        several outputs or inputs, `where` begins with the name of the one concerned.

    Raises:
        TypeError: an argument has the wrong type, or a rule does not support the weights it selects.
        ValueError: there are no batches, the loss's name is unknown, the model cannot be trained (lazy weights, the
            meta device), the optimizer belongs to another model or is LBFGS, there are several optimizers, or the loss
            is not one real number.
        SelectionError: a rule selects nothing. Errors raised while reading the batches propagate as well.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 3)
        >>> batches = [(torch.randn(32, 4), torch.randint(0, 3, (32,))) for _ in range(2)]
        >>> found = rt.diagnose(net, torch.nn.functional.cross_entropy, batches, rules=[rt.L2(100.0)])
        >>> "penalty_dominates" in [finding.cause for finding in found]
        True
        >>> dicts = [{"input": x, "labels": y} for x, y in batches]
        >>> rt.diagnose(net, "cross_entropy", dicts, rules=[rt.L2(100.0)]) == found
        True
    """
    undo = Undo()
    with _ALONE:
        try:
            try:
                return _diagnosed(model, loss_fn, batches, optimizer, rules, undo)
            finally:
                undo.put_back()
        finally:  # again, if Ctrl-C has come within that
            undo.put_back()


def _diagnosed(
    model: Any, loss_fn: Any, batches: Any, optimizer: Optimizer | None, rules: Sequence[Rule], undo: Undo
) -> Findings:
    """The findings; `undo` puts back whatever is left behind where Ctrl-C comes while something inside is restored."""
    undo.add(*random_numbers_kept(), *surroundings_kept())
    setup = read(model, loss_fn, batches, optimizer, rules, undo)
    undo.add(*attributes_kept(setup.model, *setup.form.modules))
    subject = Subject.admit(setup.model, setup.loss_fn, setup.pairs, setup.optimizer, setup.rules, setup.form)
    undo.add(subject.release, *bindings_kept(subject.model, *subject.beside))
    return findings_of(Observed(subject))


def findings_of(obs: Observed, report: Callable[[str], None] = lambda _: None) -> Findings:
    """Run all measurements and rank the findings; `report` is called with the name of each measurement."""
    # Restores what the loss changes outside the steps. Warnings are muted: training will show them once.
    with obs.subject.restored(), _as_in_training(), warnings.catch_warnings(), ExitStack() as undo:
        warnings.simplefilter("ignore")
        undo.enter_context(others_left_alone(not draws_elsewhere(obs.subject)))
        found = _measured(obs, report)
        refused = next((f for f in found if f.cause == "optimizer_fails" and f.severity == "info"), None)
        if refused is not None:
            with_adam = Observed(replace(obs.subject, optimizer=None), obs.steps)
            found = [*_measured(with_adam, report), _not_watched(refused)]
    return agreed(in_order(found))


@contextmanager
def _as_in_training() -> Iterator[None]:
    """Enable gradients whatever surrounds the call, and run compiled nets eagerly.

    Inside of `torch.autocast` no cast of a weight is kept, or steps would not be seen: training leaves it at each.
    """
    dynamo = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), dynamo:
        kept = torch.is_autocast_cache_enabled()
        torch.clear_autocast_cache()
        torch.set_autocast_cache_enabled(False)
        try:
            yield
        finally:
            torch.set_autocast_cache_enabled(kept)


def _measured(obs: Observed, report: Callable[[str], None]) -> list[Finding]:
    found: list[Finding] = []
    failed: dict[str, str] = {}
    views: Views | None = None
    for name, find in _FINDS.items():
        report(name)
        try:
            if views is None and name != "trainable":
                views = _views_of(obs)
                found += [] if views.left is None else [views.left]
            own = list(find(obs)) if views is None else list(_of_views(views, name, find))
        except Unfit as unfit:
            found.append(unfit.finding)
            break
        except Refused:
            raise
        except Exception as error:  # unforeseen: the other measurements remain valid
            failed[name] = one_line(error)
            continue
        found += own
        if any(_prevents_steps(finding) for finding in own):
            break
    return [*found, *([_failed(failed)] if failed else [])]


def _views_of(obs: Observed) -> Views:
    form = obs.subject.form
    return Views(obs) if form is None else form.views(obs)


def _of_views(views: Views, name: str, find: Callable[[Observed], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a measurement on the whole, and on each output or input if it needs one."""
    own: list[Finding] = []
    if name not in _OF_INPUTS or not views.inputs:
        own = list(find(views.whole))
        yield from own
    if views.inner is not None and name in _OF_INNER:
        known = {finding.cause for finding in own} | _OF_WHOLE
        yield from (_inside(views.inner.name, f) for f in find(views.inner.obs) if f.cause not in known)
    several = views.outputs if name in _OF_OUTPUTS else views.inputs if name in _OF_INPUTS else {}
    what = "output" if name in _OF_OUTPUTS else "input"
    for part, obs in several.items():
        for finding in find(obs):
            yield replace(finding, where=f"{what} {part}: {finding.where}")


def _inside(name: str, finding: Finding) -> Finding:
    """A finding about what the loss passes to one of torch's losses."""
    return replace(
        finding,
        where=f"{finding.where}, at {name} in the loss",
        why=f"Of what the loss passes to {name}: {finding.why}",
        remedy=None,
    )


def _failed(failed: Mapping[str, str]) -> Finding:
    names, first = listed(list(failed)), next(iter(failed.values()))
    return Finding(
        "measurement_failed",
        names,
        "info",
        {"measurements": len(failed)},
        why=f"The measurement of {names} failed here: {first}.",
        change="Please report it with your setup; the other findings are valid.",
    )


def _not_watched(refused: Finding) -> Finding:
    return replace(
        refused,
        cause="optimizer_not_watched",
        why=f"Steps were watched with Adam at a rate of 0.001, because a copy of the optimizer cannot step by itself "
        f"({refused.why.rstrip('.')}).",
        change="Nothing; to watch the optimizer itself, pass one that steps without a closure.",
    )


def _prevents_steps(finding: Finding) -> bool:
    return (
        finding.severity == "severe"
        and CAUSES[finding.cause].prevents_steps
        and bool(finding.numbers.get("refused", 1))
    )
