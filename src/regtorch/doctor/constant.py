"""A net that puts out the same for everything."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regtorch.doctor.bounds import last_with_weights
from regtorch.doctor.exam import Exam, joined
from regtorch.doctor.finding import Finding
from regtorch.doctor.restored import restored, seed

__all__ = ["is_same_for_all", "same_for_all"]

_SAME = 1e-3  # spread of outputs, of the targets' spread, or (of numbers) of their own size


def same_for_all(exam: Exam, outputs: Tensor, targets: Tensor) -> Iterator[Finding]:
    """`constant_predictions`, but where the head starts from next to 0 and its first step tells samples apart."""
    if len(outputs) < 2 or outputs.ndim > 2:
        return
    columns = outputs.double().reshape(len(outputs), -1)
    spread = float(columns.std(0).max())
    numbers = {"outputs_spread": spread, "samples": len(outputs)}
    if exam.loss.task == "numbers":
        wanted = float(targets.double().reshape(len(targets), -1).std(0).max())
        numbers |= {"targets_spread": wanted}
        # The size of the outputs too: those of an untrained net are small beside targets that are not standardised.
        same = wanted > 0 and spread < _SAME * min(wanted, float(columns.square().mean().sqrt()) or wanted)
    elif exam.loss.task == "classes":
        same = len(columns.argmax(1).unique()) == 1 and spread < 1e-4
    else:
        same = exam.loss.task == "binary" and spread < 1e-4
    if same and not _parts_soon(exam):
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


def is_same_for_all(exam: Exam) -> bool:
    """Whether there is such a finding."""
    outputs, targets = joined(exam.outputs), exam.targets
    if outputs is None or targets is None or not outputs.is_floating_point():
        return False
    return any(True for _ in same_for_all(exam, outputs, targets))


def _parts_soon(exam: Exam) -> bool:
    """Whether a step along the gradient mends it, as where the last layer's weights start from (next to) 0."""
    head, model = last_with_weights(exam), exam.patient.model
    kernels = [] if head is None else [p for p in head.parameters() if p.ndim > 1]
    if not kernels:
        return False
    with restored(model):
        seed(0)
        model.train()
        loss = exam.patient.task_loss(exam.patient.output(0), exam.patient.batch(0)[1])
        if not loss.requires_grad:
            return False
        loss.backward()
        with torch.no_grad():
            for p in kernels:
                if p.grad is not None:
                    p.sub_(p.grad)
            model.eval()
            output = exam.patient.output(0)
    # What is left is rounding where the layers before tell no samples apart.
    spread = float(output.double().std(0, correction=0).max())
    return spread > _SAME * float(output.double().abs().mean())
