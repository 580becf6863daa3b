"""Outputs that are not the log-probabilities that a loss expects, and softmaxes over another dim than the classes'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.attempt import attempt
from regtorch.doctor.observe.observed import Observed

__all__ = ["of_likelihoods", "over_samples", "over_wrong_dim", "softmax_dims"]

_SUM = 1e-3  # tolerance of a softmax's row sums


def over_wrong_dim(dim: int, kind: str) -> Finding:
    """The finding of a softmax or log-softmax over samples or positions."""
    over = "samples" if dim == 0 else "positions"
    return Finding(
        "softmax_over_wrong_dim",
        "head",
        "severe",
        {"dim": dim},
        why=f"The {'probabilities' if kind != 'softmax' else 'outputs'} sum to 1 over dim {dim}: the {kind} normalises "
        f"over the {over}, and what one of them gets depends on the others.",
        change=f"Take the {kind} over dim 1.",
        blame=100,
    )


def softmax_dims(output: Tensor) -> list[int]:
    """The dims, except that of the classes, over which the outputs are positive and sum to 1."""
    off = {dim: float((output.float().sum(dim) - 1).abs().max()) for dim in range(output.ndim) if dim != 1}
    return [dim for dim in off if off[dim] < _SUM and output.shape[dim] > 1 and bool((output >= 0).all())]


def over_samples(obs: Observed) -> Iterator[Finding]:
    """A softmax over the samples inside the loss: a number added to one class's outputs of all samples is nothing."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if not isinstance(output, Tensor) or output.ndim != 2 or min(output.shape) < 2 or target.shape != output.shape[:1]:
        return
    columns, rows = (
        torch.linspace(-1, 1, size, dtype=output.dtype, device=output.device) for size in output.shape[::-1]
    )
    costs = obs.loss.costs(target, output, output + columns, output + rows[:, None])
    if costs is None:
        return
    near = 1e-4 * abs(costs[0]) + 1e-6
    if abs(costs[1] - costs[0]) < near and abs(costs[2] - costs[0]) > 10 * near:
        yield over_wrong_dim(0, "softmax in the loss")


def of_likelihoods(obs: Observed, outputs: Tensor) -> Iterator[Finding]:
    """Outputs that are not the log-probabilities that the loss expects."""
    if not obs.loss.is_likelihood or float((outputs.float().exp().sum(1) - 1).abs().max()) < _SUM:
        return
    loss = obs.subject.loss_fn
    if dims := softmax_dims(obs.outputs[0].float().exp()):
        yield over_wrong_dim(dims[0], "log-softmax")
        return
    off = float((outputs.float().sum(1) - 1).abs().max())
    probabilities = off < _SUM and bool((outputs >= 0).all())
    yield Finding(
        "nll_without_log_softmax",
        "head",
        "warning" if probabilities else "severe",
        {"smallest": float(outputs.min()), "largest": float(outputs.max())},
        why="The loss is minus the output of the right class and expects log-probabilities: "
        + (
            "with probabilities its gradient is small where the net is wrong."
            if probabilities
            else "with other outputs it falls without bound, whatever the other classes get."
            if float(outputs.max()) > 0
            else "the exponentials of these do not sum to 1 over the classes, so that no class competes with another."
        ),
        change=_with_loss(
            obs,
            "Return the log-softmax over dim 1 instead of the softmax"
            if probabilities
            else "Pass the outputs to cross entropy as logits, or return their log-softmax over dim 1",
            (lambda output, target: loss(output.clamp_min(1e-12).log(), target))
            if probabilities
            else (lambda output, target: loss(output.log_softmax(1), target)),
        ),
        blame=100,
    )


def _with_loss(obs: Observed, advice: str, loss: Callable[[Any, Tensor], Tensor]) -> str:
    return f"{advice} ({attempt(replace(obs.subject, loss_fn=loss)).summary})."
