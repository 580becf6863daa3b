"""Where a net starts: with outputs far larger than the task wants them, or with all learnt."""

from __future__ import annotations

from math import nan
from statistics import fmean

import torch
from torch import Tensor

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Unfit

__all__ = ["loss_of_zeros", "paired_and_unrelated", "starts_large"]

_TOO_LARGE = 4.0  # times the loss of outputs of 0: outputs and targets of unit variance cost twice that, and no more


def starts_large(exam: Exam) -> bool:
    """Whether the first loss is far above that of outputs of 0: what makes weights smaller then helps the task."""
    steps = exam.with_rules.steps
    return bool(steps) and steps[0].task_loss > _TOO_LARGE * loss_of_zeros(exam) > 0


def loss_of_zeros(exam: Exam) -> float:
    """The first batch's loss with outputs of 0; not a number where it takes none."""
    output, (_, y) = exam.outputs[0], exam.patient.batches[0]
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return nan
    try:
        with exam.patient.restored(), torch.no_grad():
            return float(exam.patient.task_loss(torch.zeros_like(output), y))
    except Unfit:
        return nan


def paired_and_unrelated(exam: Exam) -> tuple[float, float]:
    """The loss of the outputs with their targets, and with those of other samples."""
    found: list[tuple[float, float]] = []
    with torch.no_grad():
        for output, (_, y) in zip(exam.outputs, exam.patient.batches, strict=False):
            if isinstance(output, Tensor) and output.ndim and len(output) > 1:
                other = output.roll(1 + len(output) // 2, 0)
                try:
                    found.append((float(exam.patient.task_loss(output, y)), float(exam.patient.task_loss(other, y))))
                except Unfit:
                    continue
    return (fmean(a for a, _ in found), fmean(b for _, b in found)) if found else (nan, nan)
