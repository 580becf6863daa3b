"""A head that does not suit its loss, told by what net and loss do and not by their names."""

from __future__ import annotations

from collections.abc import Iterator
from math import e, inf, log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from regtorch.doctor.exam import Exam, joined
from regtorch.doctor.finding import Finding, Severity
from regtorch.doctor.restored import restored

__all__ = ["chance", "find", "floor", "last_with_weights"]

_SUM = 1e-3  # a softmax's rows sum to 1 within this
_OUTSIDE = 0.01  # share of targets that a bounded head may miss, as outliers
_SAME = 1e-3  # spread of outputs, of the targets' spread, or (of numbers) of their own size
_CHANCE = 0.02  # relative distance of a loss from ln C
_WILD = 1e3  # the size of the weights that show whether a head has bounds
_DRAWS = 2  # of such weights, each with either sign: one could keep a head without bounds inside by chance


def find(exam: Exam) -> Iterator[Finding]:
    """Findings about the head; none where the outputs are no one floating point tensor a batch."""
    outputs, targets = joined(exam.outputs), exam.targets
    if outputs is None or targets is None or not outputs.is_floating_point() or not bool(torch.isfinite(outputs).all()):
        return
    bounds = _bounds(exam)
    if exam.task == "classes":
        yield from _of_classes(exam, outputs, bounds)
    elif exam.task == "binary":
        yield from _of_binary(exam, bounds)
    elif exam.task == "numbers" and bounds:
        yield from _of_numbers(targets, bounds)
    if exam.broadcasts:
        yield _broadcast(outputs, targets)
    yield from _constant(exam, outputs, targets)


# Bounds


def _bounds(exam: Exam) -> tuple[float, float] | None:
    """(0, 1), (-1, 1) or (0, inf) where no weights of the last layer could bring the outputs out of it; else None.

    That outputs lie there now may be chance: the last layer gets weights, both very large and of both signs, that take
    a head without bounds far away.
    """
    head = last_with_weights(exam)
    if head is None:
        return None
    with restored(exam.patient.model), torch.no_grad():
        torch.manual_seed(0)
        exam.patient.model.eval()
        drawn: list[Any] = []
        for _ in range(_DRAWS):
            for p in head.parameters():
                p.normal_(std=_WILD)
            drawn.append(exam.patient.output(0))
            for p in head.parameters():
                p.neg_()
            drawn.append(exam.patient.output(0))
    wild = joined(drawn)
    if wild is None or not bool(torch.isfinite(wild).all()) or not bool(wild.any()):
        return None
    smallest, largest = float(wild.min()), float(wild.max())
    if smallest >= -1 and largest <= 1:
        return (0.0 if smallest >= 0 else -1.0), 1.0
    return (0.0, inf) if smallest >= 0 else None


def last_with_weights(exam: Exam) -> nn.Module | None:
    """The module with weights of its own that the forward pass enters last."""
    entered = [call.module for call in exam.calls()]
    owners = [m for m in entered if is_parametrized(m) or any(True for _ in m.parameters(recurse=False))]
    # What computes a weight is entered in the midst of its layer.
    computing = {id(part) for m in owners if is_parametrized(m) for part in m.modules() if part is not m}
    return next((m for m in reversed(owners) if id(m) not in computing), None)


# Classes


def _of_classes(exam: Exam, outputs: Tensor, bounds: tuple[float, float] | None) -> Iterator[Finding]:
    rows = outputs.float().sum(1)
    off = float((rows - 1).abs().max())
    of_logs = float((outputs.float().exp().sum(1) - 1).abs().max())
    if bool((outputs >= 0).all()) and off < _SUM:
        yield Finding(
            "softmax_before_cross_entropy",
            "head",
            "severe",
            {"largest_distance_of_row_sum_from_1": off, "smallest": float(outputs.min())},
            why="The net puts out probabilities, and the loss takes a softmax of them again: "
            f"it cannot fall below {floor(outputs.shape[1]):.2f}, and gradients fade.",
            change="Let the net return logits: leave the softmax out.",
            blame=100,
        )
    elif of_logs < _SUM:
        yield Finding(
            "log_softmax_before_cross_entropy",
            "head",
            "info",
            {"largest_distance_of_exp_row_sum_from_1": of_logs},
            why="The net puts out logarithms of probabilities, and the loss takes a log-softmax of them again, which "
            "changes nothing and costs time.",
            change="Let the net return logits, or take NLLLoss.",
            blame=1,
        )
    elif bounds and bounds[1] == inf:
        yield _without_sign(
            "warning", "half of what tells classes apart is cut off, and a unit that is off gets no gradient"
        )
    elif bounds:
        low, high = bounds
        name = "sigmoid" if low == 0 else "tanh"
        yield Finding(
            f"{name}_before_cross_entropy",
            "head",
            "severe",
            {"low": low, "high": high, "smallest": float(outputs.min()), "largest": float(outputs.max())},
            why=f"The outputs cannot leave [{low:g}, {high:g}], whatever the last layer's weights, and the loss takes "
            f"them for logits: it cannot fall below {floor(outputs.shape[1], high - low):.2f}.",
            change=f"Let the net return logits: leave the {name} behind the last layer out.",
            blame=100,
        )


def floor(classes: int, gap: float = 1.0) -> float:
    """The smallest cross entropy where one logit is at most `gap` above the others."""
    return log(1 + (classes - 1) * e**-gap)


def chance(exam: Exam) -> Iterator[Finding]:
    """`loss_at_chance`: a state and no fault, which comes after all else."""
    outputs, targets = joined(exam.outputs), exam.targets
    if outputs is None or targets is None or exam.task != "classes":
        return
    if bool(((targets < 0) | (targets >= outputs.shape[1])).any()):
        return  # the loss refuses or ignores some
    losses = [
        float(exam.patient.task_loss(o, y)) for o, (_, y) in zip(exam.outputs, exam.patient.batches, strict=False)
    ]
    loss, guessed = sum(losses) / len(losses), log(outputs.shape[1])
    if abs(loss / guessed - 1) < _CHANCE:
        yield Finding(
            "loss_at_chance",
            "loss",
            "info",
            {"loss": loss, "chance": guessed, "samples": len(targets)},
            why=f"The loss of {loss:.3f} is what guessing among {outputs.shape[1]} classes gives, "
            f"ln({outputs.shape[1]}) = {guessed:.3f}, as an untrained net does.",
            change="Nothing before training; after it, the other findings say why nothing was learnt.",
        )


def _without_sign(severity: Severity, harm: str) -> Finding:
    return Finding(
        "nonnegative_logits",
        "head",
        severity,
        {"low": 0.0},
        why="The outputs cannot fall below 0, whatever the last layer's weights, and the loss takes them for logits: "
        f"{harm}.",
        change="Let the net return logits: leave the ReLU behind the last layer out.",
        blame=100,
    )


# Logits of yes or no, and numbers


def _of_binary(exam: Exam, bounds: tuple[float, float] | None) -> Iterator[Finding]:
    if bounds is None or not exam.takes_logits:
        return
    low, high = bounds
    if high == inf:
        yield _without_sign("severe", "no probability can fall below 0.5")
    else:
        name = "sigmoid" if low == 0 else "tanh"
        yield Finding(
            f"{name}_before_bce_with_logits",
            "head",
            "severe",
            {"low": low, "high": high},
            why=f"The outputs cannot leave [{low:g}, {high:g}], and the loss takes a sigmoid of them again: all its "
            f"probabilities lie in [{1 / (1 + e**-low):.2f}, {1 / (1 + e**-high):.2f}].",
            change=f"Leave the {name} behind the last layer out, or take the loss that expects probabilities.",
            blame=100,
        )


def _broadcast(outputs: Tensor, targets: Tensor) -> Finding:
    shapes = [f"(N{''.join(f', {n}' for n in t.shape[1:])})" for t in (outputs, targets)]
    return Finding(
        "target_broadcast",
        "targets",
        "severe",
        {"output_dims": outputs.ndim, "target_dims": targets.ndim},
        why=f"Outputs are {shapes[0]} and targets {shapes[1]}: the loss sets every output against every target of the "
        "batch, and the best that a net can do is their mean.",
        change="Give both one shape: `target.view_as(output)`.",
        blame=1000,
    )


def _of_numbers(targets: Tensor, bounds: tuple[float, float]) -> Iterator[Finding]:
    low, high = bounds
    outside = float(((targets < low) | (targets > high)).float().mean())
    numbers = {
        "low": low,
        "high": high,
        "share_outside": outside,
        "smallest_target": float(targets.min()),
        "largest_target": float(targets.max()),
    }
    reach = f"leave [{low:g}, {high:g}]" if high < inf else "fall below 0"
    if outside > _OUTSIDE:
        yield Finding(
            "target_outside_head",
            "head",
            "severe",
            numbers,
            why=f"The outputs cannot {reach}, and {outside:.0%} of the targets lie outside.",
            change="Take a linear head, or scale the targets into the head's range.",
            blame=100 * outside,
        )
    elif high < inf:
        yield Finding(
            "bounded_head",
            "head",
            "warning",
            numbers,
            why=f"The head keeps the outputs in [{low:g}, {high:g}]: the targets lie there, but its gradient fades "
            "towards both ends.",
            change="Take a linear head, as is usual for a regression.",
        )


# The same output for everything


def _constant(exam: Exam, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    if len(outputs) < 2 or outputs.ndim > 2:
        return
    columns = outputs.double().reshape(len(outputs), -1)
    spread = float(columns.std(0).max())
    numbers = {"outputs_spread": spread, "samples": len(outputs)}
    if exam.task == "numbers":
        wanted = float(targets.double().reshape(len(targets), -1).std(0).max())
        numbers |= {"targets_spread": wanted}
        # The size of the outputs too: those of an untrained net are small beside targets that are not standardised.
        same = wanted > 0 and spread < _SAME * min(wanted, float(columns.square().mean().sqrt()) or wanted)
    elif exam.task == "classes":
        same = len(columns.argmax(1).unique()) == 1 and spread < 1e-4
    else:
        same = exam.task == "binary" and spread < 1e-4
    if same:
        yield Finding(
            "constant_predictions",
            "outputs",
            "warning",
            numbers,
            why=f"The net gives (nearly) the same output for all {len(outputs)} inputs: it spreads by {spread:.1e}.",
            change="Look for inputs without spread, units that are off for all inputs, weights at 0 and a penalty that "
            "rules the task.",
            blame=1,
        )
