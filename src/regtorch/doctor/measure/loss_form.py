"""Losses that do not suit the targets, found by evaluating them on artificial outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.measure import ignored_targets
from regtorch.doctor.measure.label_form import with_targets
from regtorch.doctor.observe.attempt import Context, attempt
from regtorch.doctor.observe.last_activation import last_activation, without_last_activation
from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.restored import forward_only

__all__ = ["find"]

_FAR = 1e3  # outputs far from 0
_CLASSES = 20  # distinct whole numbers that can be classes
_ROWS = 0.05  # share of rows with another number of labels than one
_SUM = 1e-3  # tolerance of a softmax's row sums


def find(obs: Observed) -> Iterator[Finding]:
    """`unbounded_loss`, `multi_hot_labels`, `ignored_targets`, `regression_on_classes`."""
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or not outputs.is_floating_point() or not outputs.numel():
        return
    yield from ignored_targets.find(obs)
    targets = targets[: len(outputs)]
    alike = targets.is_floating_point() and targets.numel() == outputs.numel() and bool(torch.isfinite(targets).all())
    if not alike or not bool(torch.isfinite(outputs).all()):
        return
    outputs, targets = outputs.double(), targets.double().reshape(outputs.shape)
    found = next(_unbounded(obs, targets), None) or next(_multi_hot(obs, outputs, targets), None)
    found = found or next(_ignored(obs, targets), None)
    yield from (found,) if found else _regression(obs, outputs, targets)


def _unbounded(obs: Observed, targets: Tensor) -> Iterator[Finding]:
    """Targets above 1 and below 0 pull logits to infinity, as x·target is all that remains of the loss there."""
    if not bool(((targets < 0) | (targets > 1)).any()):
        return
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    away = ((target > 1).to(output) - (target < 0).to(output)).reshape(output.shape)
    costs = obs.loss.costs(target, _FAR * away, 10 * _FAR * away)
    if costs is None or not costs[0] < -1 or costs[1] > 5 * costs[0]:
        return
    values = targets.unique()
    whole = bool((values == values.round()).all())
    inside = obs.loss.costs(target.clamp(0, 1), _FAR * away, -_FAR * away)
    if inside is None or inside[0] < -1 or inside[1] < inside[0] + 1:  # the range of the targets is not the reason
        yield _without_bound(obs, costs[1], away)
        return
    if len(values) == 2:
        low, high = float(values[0]), float(values[1])
        change = f"Map the targets {low:g} and {high:g} to 0 and 1: `(target - {low:g}) / {high - low:g}`"
        change += f" ({with_targets(obs, lambda y: (y - low) / (high - low)).summary})"
    elif whole and len(values) <= _CLASSES:
        change = f"Give the net {len(values)} outputs and use `CrossEntropyLoss` on class indices"
        change += f", here `(target - {float(values[0]):g}).long()`" if values[0] else ", `target.long()`"
    else:
        change = "Divide the targets so that they lie between 0 and 1, or use a regression loss"
    yield Finding(
        "unbounded_loss",
        "targets",
        "severe",
        {"smallest": float(values[0]), "largest": float(values[-1]), "loss_far_away": costs[1]},
        why=f"The loss takes targets between 0 and 1, and these are in [{float(values[0]):g}, {float(values[-1]):g}]: "
        f"it has no lower bound (outputs of ±{10 * _FAR:g} cost {fmt(costs[1])}), so they grow for ever.",
        change=f"{change}.",
        blame=1e4,
    )


def _without_bound(obs: Observed, far: float, away: Tensor) -> Finding:
    """A loss that falls without end, unless its arguments are exchanged."""
    loss, target = obs.subject.loss_fn, obs.subject.batches[0][1]
    try:
        with torch.no_grad():
            turned = [float(loss(target, times * _FAR * away)) for times in (1, 10, -1, -10)]
    except Exception:
        turned = [-inf]
    numbers = {"loss_far_away": far}
    why = f"The loss has no lower bound: outputs of ±{10 * _FAR:g} cost {fmt(far)}, so they grow for ever"
    if min(turned) < -1:
        change = "Check the sign of each of its terms, and that it takes the net's outputs first and the targets second"
        return Finding("unbounded_loss", "loss", "severe", numbers, why=f"{why}.", change=f"{change}.", blame=1e4)
    tried = attempt(replace(obs.subject, loss_fn=lambda output, y: loss(y, output)))
    return Finding(
        "swapped_arguments",
        "loss",
        "severe",
        numbers,
        why=f"{why}. With the arguments in the other order it has one: the loss takes the net's outputs for the "
        "targets.",
        change=f"Call the loss with its arguments in the other order ({tried.summary}).",
        blame=1e4,
    )


def _multi_hot(obs: Observed, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """Several 1s in a row of targets, while a softmax makes the outputs compete."""
    if targets.ndim != 2 or targets.shape[1] < 2 or not _is_binary(targets):
        return
    labels = targets.sum(1)
    several = float((labels > 1).double().mean())
    if several < _ROWS or bool((labels == targets.shape[1]).all()):
        return
    of_net = bool((outputs >= 0).all()) and float((outputs.sum(1) - 1).abs().max()) < _SUM
    if not of_net and not _ignores_shifts(obs):
        return
    change = _logits(obs, of_net)
    yield Finding(
        "multi_hot_labels",
        "labels",
        "severe",
        {"share_with_several": several, "most": float(labels.max())},
        why=f"{several:.0%} of the samples have several labels, up to {int(labels.max())}, and the "
        f"{'net' if of_net else 'loss'} applies a softmax: the probabilities of a sample sum to 1, so that labels that "
        "belong together compete.",
        change=f"{'Remove the softmax and use' if of_net else 'Use'} `BCEWithLogitsLoss`, a sigmoid for each label"
        f"{change}.",
        blame=1e3,
    )


def _ignores_shifts(obs: Observed) -> bool:
    """Whether a constant added to all outputs of a sample changes nothing, as with a loss that applies a softmax."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    shift = torch.linspace(-1, 1, len(output), dtype=output.dtype, device=output.device)[:, None]
    costs = obs.loss.costs(target, output, output + shift, 2 * output + 1)
    if costs is None:
        return False
    near = 1e-4 * abs(costs[0]) + 1e-6
    return abs(costs[1] - costs[0]) < near < abs(costs[2] - costs[0])


def _ignored(obs: Observed, targets: Tensor) -> Iterator[Finding]:
    """Targets of 0 that a hinge loss multiplies by the output, so that half of the samples do not count."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    one_column = output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)
    zero = (target == 0).reshape(output.shape)
    if not one_column or not _is_binary(targets) or not bool(zero.any()) or bool(zero.all()):
        return
    changed = ((zero, 0.1), (zero, 0.9), (~zero, 0.1), (~zero, 0.9))
    costs = obs.loss.costs(target, *(torch.where(where, value, 0.5).to(output) for where, value in changed))
    if costs is None or abs(costs[1] - costs[0]) > 1e-6 * abs(costs[0]) or abs(costs[3] - costs[2]) < 1e-3:
        return
    share = float((targets == 0).double().mean())
    yield Finding(
        "ignored_targets",
        "targets",
        "severe",
        {"share": share},
        why=f"{share:.0%} of the targets are 0, and there the loss is the same whatever the net outputs: only samples "
        "of the other class are learnt, as with a hinge loss on 0 and 1.",
        change="A hinge loss takes targets of -1 and 1: `2 * target - 1`, with a head without a bound; for 0 and 1 use "
        f"`BCEWithLogitsLoss`{_logits(obs, True)}.",
        blame=1e3,
    )


def _regression(obs: Observed, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """A bounded price for probabilities that are certain and wrong, or class numbers as the quantity to predict."""
    columns = outputs.shape[1] if outputs.ndim > 1 else 1
    if outputs.ndim > 2 or not obs.loss.uses_targets:
        return
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    rows = columns > 1 and bool((targets.sum(1) == 1).all())
    if _is_binary(targets) and len(targets.unique()) == 2 and inside and (columns == 1 or rows):
        if columns > 1 and float((outputs.sum(1) - 1).abs().max()) > _SUM:
            return
        output, target = obs.outputs[0], obs.subject.batches[0][1]
        right = target.to(output).reshape(output.shape)
        costs = obs.loss.costs(target, right, 1 - right)
        if costs is None or abs(costs[0]) > 1e-6 or not 0 < costs[1] < 2:
            return
        name = "CrossEntropyLoss" if columns > 1 else "BCEWithLogitsLoss"
        yield Finding(
            "regression_on_classes",
            "loss",
            "warning",
            {"of_certain_and_wrong": costs[1]},
            why=f"The loss of probabilities that are certain and wrong is only {costs[1]:.3g}, as a regression's, and "
            "its gradient through the last activation vanishes there: what is learnt wrong is hardly unlearnt.",
            change=f"Remove the last activation and use `{name}`{_logits(obs, True)}.",
            blame=10,
        )
    elif not inside and _is_binary(targets) and len(targets.unique()) == 2 and (columns == 1 or rows):
        yield from _yes_or_no(obs)
    elif columns == 1 and _are_class_numbers(targets):
        count = int(targets.max()) + 1
        yield Finding(
            "regression_on_classes",
            "targets",
            "info",
            {"classes": count},
            why=f"The targets are the whole numbers from 0 to {count - 1}, and the net predicts them with one output: "
            "if they number classes, class 1 counts as lying between 0 and 2.",
            change=f"For classes give the net {count} outputs and use `CrossEntropyLoss` on `target.long()`; for "
            "counts and grades change nothing.",
            blame=1,
        )


def _yes_or_no(obs: Observed) -> Iterator[Finding]:
    """0 and 1 predicted as quantities: outputs beyond the right answer cost as much as those short of it."""
    several = obs.outputs[0].ndim > 1 and obs.outputs[0].shape[1] > 1
    target = obs.subject.batches[0][1]
    right = target.to(obs.outputs[0]).reshape(obs.outputs[0].shape)
    costs = obs.loss.costs(target, right, 2 * (2 * right - 1) + right, right - (2 * right - 1) * 2)
    if costs is None or abs(costs[0]) > 1e-6 or costs[1] < 1 or abs(costs[1] - costs[2]) > 1e-3 * costs[1]:
        return
    yield Finding(
        "regression_on_classes",
        "targets",
        "info",
        {"classes": 2},
        why="The targets are 0 and 1, and the loss is a regression's: an output of 3 for a 1 costs as much as one of "
        "-1, though it is right.",
        change=f"{'For classes use `CrossEntropyLoss`' if several else 'For yes or no use `BCEWithLogitsLoss`'}"
        f"{_logits(obs, False)}.",
        blame=1,
    )


def _are_class_numbers(targets: Tensor) -> bool:
    values = targets.unique()
    return 3 <= len(values) <= _CLASSES and bool((values == torch.arange(len(values), device=values.device)).all())


def _is_binary(targets: Tensor) -> bool:
    return bool(((targets == 0) | (targets == 1)).all())


def _logits(obs: Observed, bounded: bool) -> str:
    """The trial of a cross entropy on logits, in parentheses; empty if the last activation cannot be left out."""
    with forward_only(obs.subject.model):
        known = not bounded or bool(last_activation(lambda: obs.subject.output(0)))
    if not known:
        return ""

    def loss(output: Any, target: Tensor) -> Tensor:
        target = target.to(output.dtype).reshape(output.shape)
        alone = output.ndim > 1 and output.shape[1] > 1 and bool((target.sum(1) == 1).all())
        return F.cross_entropy(output, target) if alone else F.binary_cross_entropy_with_logits(output, target)

    change: tuple[Context, ...] = (lambda _: without_last_activation(obs.subject.outer),) if bounded else ()
    return f" ({attempt(replace(obs.subject, loss_fn=loss), *change).summary})"
