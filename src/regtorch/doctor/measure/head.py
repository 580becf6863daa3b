"""A head that does not suit its loss, found by what both compute, not by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import e, inf, log

import torch
from torch import Tensor

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.measure.constant_output import same_for_all
from regtorch.doctor.measure.label_form import with_targets
from regtorch.doctor.measure.likelihood import of_likelihoods, over_samples, over_wrong_dim, softmax_dims
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.head_bounds import Bounds, bounds_of
from regtorch.doctor.observe.last_activation import last_activation, without_last_activation
from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.restored import forward_only
from regtorch.doctor.remedy import Remedy

__all__ = ["find", "floor"]

_SUM = 1e-3  # tolerance of a softmax's row sums
_OUTSIDE = 0.01  # share of targets that may be outliers
_CHANCE = 0.02  # relative distance of a loss from ln C


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the head; none unless the outputs are floating-point tensors."""
    yield from _against_the_loss(obs)
    yield from _chance(obs)


def _against_the_loss(obs: Observed) -> Iterator[Finding]:
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or not outputs.numel() or not outputs.is_floating_point():
        return
    if not bool(torch.isfinite(outputs).all()):
        return
    yield from of_likelihoods(obs, outputs)
    bounds = bounds_of(obs)
    if obs.loss.task == "classes":
        yield from _of_classes(obs, outputs, bounds)
    elif obs.loss.task == "binary":
        yield from _of_binary(obs, bounds)
    elif obs.loss.task == "numbers" and bounds and not obs.loss.is_likelihood:
        yield from _of_numbers(obs, targets, bounds)
    if obs.loss.task != "classes":
        yield from _of_batch(obs)
        yield from over_samples(obs)
    if obs.loss.broadcasts:
        yield _broadcast(obs, outputs, targets)
    yield from same_for_all(obs, outputs, targets)


# Classes


def _of_classes(obs: Observed, outputs: Tensor, bounds: Bounds | None) -> Iterator[Finding]:
    rows = outputs.float().sum(1)
    off = float((rows - 1).abs().max())
    of_logs = float((outputs.float().exp().sum(1) - 1).abs().max())
    if bool((outputs >= 0).all()) and off < _SUM:
        yield _activation(
            obs,
            "softmax_before_cross_entropy",
            {"largest_distance_of_row_sum_from_1": off, "smallest": float(outputs.min())},
            "The net outputs probabilities, and the loss applies a softmax to them again: "
            f"it cannot fall below {floor(outputs.shape[1]):.2f}, and gradients vanish.",
            "Return logits: remove the softmax",
        )
    elif abs(obs.loss.of_sure_logits - floor(outputs.shape[1])) < _SUM:
        yield Finding(
            "softmax_before_cross_entropy",
            "loss",
            "severe",
            {"of_sure_logits": obs.loss.of_sure_logits},
            why=f"Outputs that are sure of the right classes still cost {obs.loss.of_sure_logits:.2f}: between the net "
            "and its cross entropy, which takes logits, there is a softmax, behind which gradients vanish.",
            change="Pass the net's outputs to the cross entropy as they are, without the softmax.",
            blame=100,
        )
    elif of_logs < _SUM:
        yield Finding(
            "log_softmax_before_cross_entropy",
            "head",
            "info",
            {"largest_distance_of_exp_row_sum_from_1": of_logs},
            why="The net outputs log-probabilities, and the loss applies a log-softmax again, which costs time and "
            "changes nothing.",
            change="Nothing; returning logits saves the time.",
            blame=1,
        )
    elif bounds and bounds[1] == inf:
        yield _nonnegative(obs, "warning", "negative evidence is lost, and an inactive unit gets no gradient")
    elif bounds and (dims := softmax_dims(obs.outputs[0])):
        yield _activation(
            obs,
            "softmax_over_wrong_dim",
            {"dim": dims[0]},
            f"The outputs sum to 1 over dim {dims[0]}, but classes are in dim 1: the softmax normalises over "
            f"{'samples' if dims[0] == 0 else 'positions'}, and the loss applies its own over dim 1.",
            "Return logits: remove the softmax",
        )
    elif bounds:
        low, high = bounds
        name = "sigmoid" if low == 0 else "tanh"
        yield _activation(
            obs,
            f"{name}_before_cross_entropy",
            {"low": low, "high": high, "smallest": float(outputs.min()), "largest": float(outputs.max())},
            f"The outputs cannot leave [{low:g}, {high:g}], whatever the last layer's weights, and the loss takes "
            f"them as logits: it cannot fall below {floor(outputs.shape[1], high - low):.2f}.",
            f"Return logits: remove the {name} after the last layer",
        )


def _of_batch(obs: Observed) -> Iterator[Finding]:
    """A softmax over the samples, or over the positions of class indices, with a loss of probabilities."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if output.ndim < 2 or min(output.shape) < 2 or (output.ndim > 2 and target.is_floating_point()):
        return
    dims = softmax_dims(output)
    if dims and float((output.float().sum(1) - 1).abs().max()) > _SUM:
        yield over_wrong_dim(dims[0], "softmax")


def floor(classes: int, gap: float = 1.0) -> float:
    """The lowest cross entropy if one logit exceeds the others by at most `gap`."""
    return log(1 + (classes - 1) * e**-gap)


def _chance(obs: Observed) -> Iterator[Finding]:
    """`loss_at_chance`: a state, not a fault."""
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or obs.loss.task != "classes":
        return
    if bool(((targets < 0) | (targets >= outputs.shape[1])).any()):
        return  # the loss rejects or ignores some
    losses = [float(obs.subject.task_loss(o, y)) for o, (_, y) in zip(obs.outputs, obs.subject.batches, strict=False)]
    loss, guessed = sum(losses) / len(losses), log(outputs.shape[1])
    if abs(loss / guessed - 1) < _CHANCE:
        yield Finding(
            "loss_at_chance",
            "loss",
            "info",
            {"loss": loss, "chance": guessed, "samples": len(targets)},
            why=f"The loss of {loss:.3f} is the chance level of {outputs.shape[1]} classes, "
            f"ln({outputs.shape[1]}) = {guessed:.3f}, as in an untrained net.",
            change="Nothing before training; afterwards, the other findings explain why nothing was learnt.",
        )


def _without_activation(obs: Observed, advice: str) -> str:
    """The advice to remove the last activation, tried if it can be removed from outside."""
    with forward_only(obs.subject.model):
        kind = last_activation(lambda: obs.subject.output(0))
    return (
        f"{advice} ({attempt(obs.subject, lambda _: without_last_activation(obs.subject.outer)).summary})."
        if kind
        else f"{advice}."
    )


def _activation(
    obs: Observed,
    cause: str,
    numbers: Mapping[str, float],
    why: str,
    advice: str,
    severity: Severity = "severe",
    blame: float = 100,
) -> Finding:
    """A finding whose remedy is to remove the last activation."""
    change, remedy = _without_activation(obs, advice), Remedy("no last activation")
    return Finding(cause, "head", severity, numbers, why=why, change=change, remedy=remedy, blame=blame)


def _nonnegative(obs: Observed, severity: Severity, harm: str) -> Finding:
    why = "The outputs cannot fall below 0, whatever the last layer's weights, and the loss takes them as logits: "
    advice = "Return logits: remove the ReLU after the last layer"
    return _activation(obs, "nonnegative_logits", {"low": 0.0}, f"{why}{harm}.", advice, severity)


# Binary logits and numbers


def _of_binary(obs: Observed, bounds: Bounds | None) -> Iterator[Finding]:
    if bounds is None or not obs.loss.takes_logits:
        return
    low, high = bounds
    if high == inf:
        yield _nonnegative(obs, "severe", "no probability can fall below 0.5")
    else:
        name = "sigmoid" if low == 0 else "tanh"
        yield _activation(
            obs,
            f"{name}_before_bce_with_logits",
            {"low": low, "high": high},
            f"The outputs cannot leave [{low:g}, {high:g}], and the loss applies a sigmoid again: all its "
            f"probabilities are in [{1 / (1 + e**-low):.2f}, {1 / (1 + e**-high):.2f}].",
            f"Use the loss that expects probabilities, or remove the {name} after the last layer",
        )


def _broadcast(obs: Observed, outputs: Tensor, targets: Tensor) -> Finding:
    alike = with_targets(obs, lambda y: y.reshape(obs.outputs[0].shape))
    shapes = [f"(N{''.join(f', {n}' for n in t.shape[1:])})" for t in (outputs, targets)]
    return Finding(
        "target_broadcast",
        "targets",
        "severe",
        {"output_dims": outputs.ndim, "target_dims": targets.ndim},
        why=f"Outputs are {shapes[0]} and targets {shapes[1]}: the loss compares every output with every target of the "
        "batch, so the net can only learn their mean.",
        change=f"Give both the same shape: `target.view_as(output)` ({alike.summary}).",
        blame=1000,
    )


def _of_numbers(obs: Observed, targets: Tensor, bounds: Bounds) -> Iterator[Finding]:
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
        why = f"The outputs cannot {reach}, and {outside:.0%} of the targets are outside."
        advice = "Scale the targets into the head's range, or use a linear head"
        yield _activation(obs, "target_outside_head", numbers, why, advice, blame=100 * outside)
    elif high < inf and not obs.loss.needs_probabilities:
        why = f"The head keeps the outputs in [{low:g}, {high:g}]: the targets are inside, but the gradient vanishes "
        why += "towards both ends."
        advice = "Use a linear head, as is usual for a regression"
        yield _activation(obs, "bounded_head", numbers, why, advice, "info", blame=0)
