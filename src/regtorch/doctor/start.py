"""Nets that start with outputs far larger than the task wants them, as from weights of deviation 1."""

from __future__ import annotations

from math import nan

import torch
from torch import Tensor

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Unfit

__all__ = ["loss_of_zeros", "starts_large"]

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
