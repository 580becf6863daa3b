"""Losses that no output changes, and heads whose output no weight changes: there is no gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.attempt import Attempt, Context, attempt, first_that_learns
from regtorch.doctor.observe.last_activation import last_activation, without_last_activation
from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.restored import forward_only

__all__ = ["find", "one_output", "takes_softmax_of_one"]

Loss = Callable[[Any, Tensor], Tensor]


def find(obs: Observed) -> Iterator[Finding]:
    """`constant_loss` and `softmax_over_one_unit`."""
    if _has_constant_head(obs):
        yield _one_unit(obs)
    elif obs.targets is not None and obs.loss.is_constant:
        yield _constant(obs)


# The loss


def _constant(obs: Observed) -> Finding:
    value, output = obs.loss.value, obs.outputs[0]
    if takes_softmax_of_one(obs):
        return one_output(obs, f"the loss is {value:g} whatever the label")
    column = output.numel() == obs.subject.batches[0][1].numel()
    return Finding(
        "constant_loss",
        "loss",
        "severe",
        {"loss": value},
        why=f"The loss is {value:g} whatever the net outputs: its gradient is 0, and nothing can be learnt.",
        change=(_instead(obs, _losses_of_a_column(obs)) if column else None)
        or "Look for outputs that the loss ignores, detaches, rounds or multiplies by 0.",
        blame=1e5,
    )


def takes_softmax_of_one(obs: Observed) -> bool:
    """Whether the net has one output per sample and the loss is a cross entropy: two equal outputs cost ln 2."""
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] != 1 or not output.numel():
        return False
    two = torch.zeros_like(output).repeat_interleave(2, 1).cpu()
    one_hot = torch.zeros_like(two)
    one_hot[:, :1] = 1
    zeros = torch.zeros(output.shape[:1] + output.shape[2:], dtype=torch.long, device="cpu")
    costs = [
        (obs.loss.cost(two, labels), obs.loss.cost(two + 3, labels))
        for labels in ((one_hot,) if target.is_floating_point() else (zeros, one_hot))
    ]
    return any(all(cost is not None and abs(cost - log(2)) < 1e-3 for cost in pair) for pair in costs)


def one_output(obs: Observed, how: str) -> Finding:
    """A cross entropy over one output."""
    return Finding(
        "constant_loss",
        "loss",
        "severe",
        {"outputs": 1},
        why="The loss applies a softmax over the outputs of a sample, but there is only one: the softmax is always 1, "
        f"{how}, and nothing can be learnt.",
        change=_instead(obs, _losses_of_a_column(obs))
        or "Give the net one output per class, or use a loss for a single output.",
        blame=1e5,
    )


def _instead(obs: Observed, losses: list[tuple[str, Loss]]) -> str | None:
    return first_that_learns((advice, _with(obs, loss)) for advice, loss in losses)


def _with(obs: Observed, loss: Loss, change: Context = lambda _: nullcontext()) -> Callable[[], Attempt]:
    return lambda: attempt(replace(obs.subject, loss_fn=loss), change)


def _losses_of_a_column(obs: Observed) -> list[tuple[str, Loss]]:
    """Losses for one output and binary labels, or numbers."""
    loss, name, more = F.mse_loss, "MSELoss", ""
    if _is_binary(obs):
        loss, name = F.binary_cross_entropy_with_logits, "BCEWithLogitsLoss"
        more = ", or give the net two outputs and the loss class indices"
    advice = f"Use `{name}()(output, target.to(output.dtype).view_as(output))`{more}"
    return [(advice, lambda output, target: loss(output, target.to(output.dtype).view_as(output)))]


def _is_binary(obs: Observed) -> bool:
    return all(bool(((y == 0) | (y == 1)).all()) for _, y in obs.subject.batches)


# The head


def _has_constant_head(obs: Observed) -> bool:
    """Whether the net ends in a softmax over a single unit, which always outputs 1."""
    outputs = joined(obs.outputs)
    if outputs is None or not outputs.is_floating_point() or not outputs.numel():
        return False
    with forward_only(obs.subject.model):
        obs.subject.model.eval()
        kind = last_activation(lambda: obs.subject.output(0))
    constant = {"softmax": 1.0, "log_softmax": 0.0}.get(kind)
    return constant is not None and bool((outputs == constant).all())


def _one_unit(obs: Observed) -> Finding:
    loss = obs.subject.loss_fn
    of_sigmoid: tuple[str, Loss] = (
        "Replace the softmax by a sigmoid",
        lambda output, target: loss(output.sigmoid(), target),
    )
    alone: tuple[str, Loss] = ("Remove the softmax", loss)
    column = obs.outputs[0].numel() == obs.subject.batches[0][1].numel()
    losses = _losses_of_a_column(obs) if column else []
    with_loss = [(f"Remove the softmax, and {advice[0].lower()}{advice[1:]}", other) for advice, other in losses]
    ordered = [of_sigmoid, *with_loss, alone] if column and _is_binary(obs) else [alone, of_sigmoid, *with_loss]
    advised = first_that_learns(
        (advice, _with(obs, other, lambda _: without_last_activation(obs.subject.outer))) for advice, other in ordered
    )
    return Finding(
        "softmax_over_one_unit",
        "head",
        "severe",
        {"smallest": float(obs.outputs[0].min()), "largest": float(obs.outputs[0].max())},
        why="A softmax over one unit always outputs 1: its gradient is 0.",
        change=advised or "Remove the softmax, or give the net one unit per class.",
        blame=1e5,
    )
