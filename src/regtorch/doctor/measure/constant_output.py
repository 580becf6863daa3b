"""A net that puts out the same for everything."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.finding import Finding
from regtorch.doctor.watch.bounds import last_with_weights
from regtorch.doctor.watch.observed import Observed, joined
from regtorch.doctor.watch.restored import restored, seed

__all__ = ["is_same_for_all", "same_for_all"]

_SAME = 1e-3  # spread of outputs, of the targets' spread, or (of numbers) of their own size


def same_for_all(obs: Observed, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """`constant_predictions`, but where the head starts from next to 0 and its first step tells samples apart."""
    if len(outputs) < 2 or outputs.ndim > 2:
        return
    columns = outputs.double().reshape(len(outputs), -1)
    spread = float(columns.std(0).max())
    numbers = {"outputs_spread": spread, "samples": len(outputs)}
    if obs.loss.task == "numbers":
        wanted = float(targets.double().reshape(len(targets), -1).std(0).max())
        numbers |= {"targets_spread": wanted}
        # The size of the outputs too: those of an untrained net are small beside targets that are not standardised.
        same = wanted > 0 and spread < _SAME * min(wanted, float(columns.square().mean().sqrt()) or wanted)
    elif obs.loss.task == "classes":
        same = len(columns.argmax(1).unique()) == 1 and spread < 1e-4
    else:
        same = obs.loss.task == "binary" and spread < 1e-4
    if same and not _parts_soon(obs):
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


def is_same_for_all(obs: Observed) -> bool:
    """Whether there is such a finding."""
    outputs, targets = joined(obs.outputs), obs.targets
    if outputs is None or targets is None or not outputs.is_floating_point():
        return False
    return any(True for _ in same_for_all(obs, outputs, targets))


def _parts_soon(obs: Observed) -> bool:
    """Whether a step along the gradient mends it, as where the last layer's weights start from (next to) 0."""
    head, model = last_with_weights(obs), obs.subject.model
    kernels = [] if head is None else [p for p in head.parameters() if p.ndim > 1]
    if not kernels:
        return False
    with restored(model):
        seed(0)
        model.train()
        loss = obs.subject.task_loss(obs.subject.output(0), obs.subject.batch(0)[1])
        if not loss.requires_grad:
            return False
        loss.backward()
        with torch.no_grad():
            for p in kernels:
                if p.grad is not None:
                    p.sub_(p.grad)
            model.eval()
            output = obs.subject.output(0)
    # What is left is rounding where the layers before tell no samples apart.
    spread = float(output.double().std(0, correction=0).max())
    return spread > _SAME * float(output.double().abs().mean())
