"""A net with the same output for all inputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.head_bounds import last_with_weights
from regtorch.doctor.observe.observed import Observed, joined
from regtorch.doctor.observe.restored import restored

__all__ = ["is_same_for_all", "same_for_all"]

_SAME = 1e-3  # of the targets' spread, or of the outputs' own size


def same_for_all(obs: Observed, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """`constant_predictions`, unless the head starts near 0 and its first step separates the samples."""
    if len(outputs) < 2 or outputs.ndim > 2:
        return
    columns = outputs.double().reshape(len(outputs), -1)
    spread = float(columns.std(0).max())
    numbers = {"outputs_spread": spread, "samples": len(outputs)}
    if obs.loss.task == "numbers":
        wanted = float(targets.double().reshape(len(targets), -1).std(0).max())
        numbers |= {"targets_spread": wanted}
        # Also relative to the outputs: an untrained net's are small compared to unstandardised targets.
        same = wanted > 0 and spread < _SAME * min(wanted, float(columns.square().mean().sqrt()) or wanted)
    elif obs.loss.task == "classes":
        same = len(columns.argmax(1).unique()) == 1 and spread < 1e-4
    else:
        same = obs.loss.task == "binary" and spread < 1e-4
    if same and not _separates_soon(obs):
        yield Finding(
            "constant_predictions",
            "outputs",
            "warning",
            numbers,
            why=f"The net outputs (nearly) the same for all {len(outputs)} inputs: the spread is {spread:.1e}.",
            change="Look for constant inputs, dead units, zero weights and a penalty that outweighs the task.",
            blame=1,
        )


def is_same_for_all(obs: Observed) -> bool:
    """Whether `same_for_all` finds anything."""
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or not outputs.is_floating_point():
        return False
    return any(True for _ in same_for_all(obs, outputs, targets))


def _separates_soon(obs: Observed) -> bool:
    """Whether a gradient step fixes it, as when the last layer's weights start at (almost) 0."""
    head, model = last_with_weights(obs), obs.subject.model
    kernels = [] if head is None else [p for p in head.parameters() if p.ndim > 1]
    if not kernels:
        return False
    with restored(model):
        if not obs.subject.backward(0).requires_grad:
            return False
        with torch.no_grad():
            for p in kernels:
                if p.grad is not None:
                    p.sub_(p.grad)
            model.eval()
            output = obs.subject.output(0)
    # If the layers before cannot separate the samples, the spread is rounding error.
    spread = float(output.double().std(0, correction=0).max())
    return spread > _SAME * float(output.double().abs().mean())
