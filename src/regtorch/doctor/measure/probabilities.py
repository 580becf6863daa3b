"""Losses of probabilities: of outputs that need not sum to 1, of pairs in the wrong order, of classes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding, Refused, Unfit, fmt
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.observed import Observed, joined

__all__ = ["find"]

_SUM = 1e-3  # tolerance of a softmax's row sums
_NEAR = 1e-2  # of ln C
_LOW, _HIGH = 0.1, 0.9  # probabilities of artificial outputs
_FAR = 3.0  # artificial logits
_BOUNDED = 2.0  # a regression's cost of probabilities that are certain and wrong

Loss = Callable[[Any, Tensor], Tensor]


def find(obs: Observed) -> Iterator[Finding]:
    """`swapped_arguments`, `unnormalised_outputs`, `binary_loss_on_classes`."""
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or not outputs.is_floating_point() or not outputs.numel():
        return
    if outputs.ndim > 2:
        return
    rows = _rows(obs)
    if not bool(((outputs >= 0) & (outputs <= 1)).all()):
        if rows is not None and rows.shape[1] > 1 and not obs.loss.is_cross_entropy:
            alone = None if obs.loss.is_likelihood else next(_alone(obs, rows), None)
            if alone is not None:
                yield alone
            elif rows.shape[1] > 2 and obs.loss.takes_logits:
                yield _of_classes(obs, rows, sums_to_1=False)
        return
    swapped = next(_swapped(obs, rows), None)
    if swapped is not None:
        yield swapped
    elif rows is not None and rows.shape[1] > 1:
        sums_to_1 = float((outputs.float().sum(1) - 1).abs().max()) < _SUM
        over_samples = float((obs.outputs[0].float().sum(0) - 1).abs().max()) < _SUM  # another finding's
        found = next(_unnormalised(obs, rows), None) if not sums_to_1 and not over_samples else None
        yield from (found,) if found else _one_by_one(obs, rows, sums_to_1)


def _rows(obs: Observed) -> Tensor | None:
    """The first batch's targets as rows with a single 1, or as a column of 0 and 1; None if they are not such."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if not target.is_floating_point():
        indices = output.ndim == 2 and target.shape == output.shape[:1] and output.shape[1] > 1
        if not indices or bool(((target < 0) | (target >= output.shape[1])).any()):
            return None
        return F.one_hot(target.long(), output.shape[1]).to(output)
    if target.numel() != output.numel() or not bool(((target == 0) | (target == 1)).all()):
        return None
    rows = target.to(output).reshape(len(output), -1)
    return rows if rows.shape[1] == 1 or bool((rows.sum(1) == 1).all()) else None


# The order of the arguments


def _swapped(obs: Observed, rows: Tensor | None) -> Iterator[Finding]:
    """Equal probabilities cost ln C, as in a cross entropy, only with the arguments in the other order."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if rows is None or not target.is_floating_point():
        return
    classes = max(2, rows.shape[1])
    equal = torch.full_like(output, 1 / classes)
    of_pair, of_swapped = obs.loss.cost(equal, target), _cost(_turned(obs.subject.loss_fn), equal, target)
    if of_pair is None or of_swapped is None:
        return
    chances = {log(classes), log(2), _binary_chance(classes)}
    if not any(abs(of_swapped / chance - 1) < _NEAR for chance in chances) or abs(of_pair / of_swapped - 1) < _NEAR:
        return
    tried = attempt(replace(obs.subject, loss_fn=_turned(obs.subject.loss_fn)))
    yield Finding(
        "swapped_arguments",
        "loss",
        "severe",
        {"of_equal_probabilities": of_pair, "of_swapped": of_swapped},
        why=f"Equal probabilities cost {fmt(of_pair)}, and {fmt(of_swapped)} with the arguments in the other order, as "
        "in a cross entropy: the loss takes the net's outputs for the targets.",
        change=f"Call the loss with its arguments in the other order ({tried.summary}).",
        blame=1e3,
    )


def _turned(loss: Loss) -> Loss:
    return lambda output, target: loss(target, output)


def _binary_chance(classes: int) -> float:
    """The mean binary cross entropy of a row with a single 1 and probabilities of 1/classes."""
    return (log(classes) + (classes - 1) * log(classes / (classes - 1))) / classes


def _cost(loss: Loss, output: Tensor, target: Tensor) -> float | None:
    try:
        with torch.no_grad():
            return float(loss(output, target))
    except (RuntimeError, TypeError, ValueError, IndexError, Unfit, Refused):
        return None


# Classes


def _unnormalised(obs: Observed, rows: Tensor) -> Iterator[Finding]:
    """Only the right class's output counts, so that outputs of 1 for all classes are the best."""
    if not _counts_alone(obs, rows, _LOW, _HIGH):
        return
    loss = obs.subject.loss_fn
    tried = attempt(replace(obs.subject, loss_fn=lambda o, y: loss(o / o.sum(1, keepdim=True).clamp_min(1e-7), y)))
    yield Finding(
        "unnormalised_outputs",
        "loss",
        "severe",
        {"classes": rows.shape[1]},
        why="The loss depends on the right class's output alone, and nothing makes the outputs of a sample sum to 1: "
        "outputs of 1 for every class have the lowest loss.",
        change="Use `CrossEntropyLoss` on outputs without an activation, or put a softmax over dim 1 in place of the "
        f"last activation (with outputs divided by their sum {tried.summary}).",
        blame=1e3,
    )


def _alone(obs: Observed, rows: Tensor) -> Iterator[Finding]:
    """The same of a loss that takes logits, such as minus the logarithm of the right class's sigmoid."""
    if not _counts_alone(obs, rows, -_FAR, _FAR):
        return
    tried = attempt(replace(obs.subject, loss_fn=lambda o, _: F.cross_entropy(o, rows.argmax(1))))
    yield Finding(
        "unnormalised_outputs",
        "loss",
        "severe",
        {"classes": rows.shape[1]},
        why="The loss depends on the right class's output alone, and the outputs of a sample do not compete: large "
        "outputs for every class have the lowest loss.",
        change=f"Use `CrossEntropyLoss` on the outputs ({tried.summary}).",
        blame=1e3,
    )


def _counts_alone(obs: Observed, rows: Tensor, low: float, high: float) -> bool:
    """Whether the loss falls with the right class's output, and is the same whatever the others are."""
    cases = ((low, low), (low, high), (low, (low + high) / 2), (high, low))  # of the right class, and of the others
    costs = obs.loss.costs(
        obs.subject.batches[0][1], *(torch.where(rows == 1, right, other).to(rows) for right, other in cases)
    )
    if costs is None or any(abs(cost - costs[0]) > 1e-6 * abs(costs[0]) for cost in costs[1:3]):
        return False
    return costs[0] - costs[3] > 0.5


def _one_by_one(obs: Observed, rows: Tensor, sums_to_1: bool) -> Iterator[Finding]:
    """A binary cross entropy of each class, where every sample has one class."""
    classes, target = rows.shape[1], obs.subject.batches[0][1]
    if classes < 3:  # of two classes it is the cross entropy
        return
    rest = 1 - rows
    even = rows * 0.5 + rest * 0.5 / (classes - 1)
    beside = rows * 0.5 + rows.roll(1, 1) * 0.5
    costs = obs.loss.costs(target, even, beside, rows.roll(1, 1) * (1 - 1e-4) + 1e-4 / classes)
    if costs is None or costs[2] < _BOUNDED / classes * 2 or abs(costs[1] - costs[0]) < 1e-3:
        return
    binary = abs(costs[0] - _binary_cost(classes)) < _NEAR * classes
    if not binary and abs(costs[0] / classes - _binary_cost(classes)) > _NEAR:
        return
    yield _of_classes(obs, rows, sums_to_1)


def _of_classes(obs: Observed, rows: Tensor, sums_to_1: bool) -> Finding:
    classes = rows.shape[1]

    def cross_entropy(output: Tensor, _: Tensor) -> Tensor:
        return F.nll_loss(output.clamp_min(1e-7).log(), rows.argmax(1))

    tried = attempt(replace(obs.subject, loss_fn=cross_entropy)) if sums_to_1 else None
    return Finding(
        "binary_loss_on_classes",
        "loss",
        "warning" if sums_to_1 else "info",
        {"classes": classes},
        why=f"The loss is a binary cross entropy of each of the {classes} classes, and every sample has one: "
        + (
            "behind a softmax the outputs are no independent answers, the many right zeros hide the wrong ones, and "
            f"gradients are up to {classes} times smaller."
            if sums_to_1
            else "the classes do not compete, and the many right zeros hide the wrong ones."
        ),
        change="Use `CrossEntropyLoss` on outputs without an activation, and class indices"
        + (f" (a cross entropy {tried.summary})." if tried is not None else "."),
        blame=20,
    )


def _binary_cost(classes: int) -> float:
    """The mean binary cross entropy where the right class has ½ and the others share the rest."""
    return (log(2) + (classes - 1) * -log(1 - 0.5 / (classes - 1))) / classes
