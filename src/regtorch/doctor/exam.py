"""What the measurements look at, each computed once: watched steps, outputs, and what every layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from itertools import pairwise
from math import log
from typing import Any, Literal

import torch
from torch import Tensor

from regtorch.doctor.calls import Call, calls
from regtorch.doctor.finding import Unfit
from regtorch.doctor.patient import Patient
from regtorch.doctor.restored import restored
from regtorch.doctor.scale import scale_changes
from regtorch.doctor.trial import Trial, trial
from regtorch.doctor.uses import look

__all__ = ["Exam", "Task", "joined", "spread_and_mean"]

Task = Literal["classes", "binary", "numbers", "other"]
STEPS = 20
"""Of a watched training; two of them and a few forward passes are all that the doctor's cheap part costs."""
_OUTPUTS = 16  # batches whose outputs are looked at
_SAMPLES, _NUMBERS = 1024, 2**25  # inputs that are looked at, and how many numbers they are at most


class Exam:
    """The measurements' common ground."""

    def __init__(self, patient: Patient, steps: int = STEPS) -> None:
        self.patient = patient
        self.steps = steps
        self.calls = cache(self._calls)

    @cached_property
    def with_rules(self) -> Trial:
        """Watched steps as they are, with looks at the activations."""
        return trial(self.patient, self.steps, look=look)

    @cached_property
    def without_penalties(self) -> Trial:
        """The same steps without the penalties."""
        if not self.patient.penalised and not self.patient.activities:
            return self.with_rules
        return trial(self.patient, self.steps, penalties=False)

    def _calls(self, number: int = 0, dropping: bool = True) -> Sequence[Call]:
        """The modules' calls on a batch in training mode, in their order."""
        return calls(self.patient, number, dropping=dropping)

    @cached_property
    def penalty_now(self) -> dict[str, float]:
        """The penalties' value of each weight, scales included."""
        total: dict[str, float] = {}
        with torch.no_grad():
            for factor, term in self.patient.terms:
                for name, value in term.values(factor).items():
                    total[name] = total.get(name, 0.0) + float(value)
        return total

    @cached_property
    def scale_changes(self) -> dict[str, float]:
        """By how much the outputs change, relatively, when a penalised weight is doubled."""
        return scale_changes(self.patient)

    @cached_property
    def inputs(self) -> Tensor | None:
        """The first batches' inputs beside each other; None where they are no tensors of one shape."""
        parts = [x for x, _ in self.patient.batches]
        whole = joined(parts[:1])
        if whole is None or not len(whole):
            return whole if whole is None else joined(parts)
        samples = min(_SAMPLES, max(1, _NUMBERS * len(whole) // max(1, whole.numel())))
        return joined(parts[: -(-samples // len(whole))])

    @cached_property
    def targets(self) -> Tensor | None:
        """The batches' targets beside each other; None where they are of unlike shapes."""
        return joined([y for _, y in self.patient.batches])

    @cached_property
    def outputs(self) -> Sequence[Any]:
        """The net's output of the first batches, in evaluation mode, without gradients."""
        with restored(self.patient.model), torch.no_grad():
            self.patient.model.eval()
            return [self.patient.output(number) for number in range(min(_OUTPUTS, len(self.patient.batches)))]

    @cached_property
    def task(self) -> Task:
        """What the loss makes of outputs and targets, told by trying it and not by its name."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return "other"
        if self.is_cross_entropy:
            return "classes"
        alike = output.shape == target.shape or output.numel() == target.numel()
        if not alike:
            return "numbers" if target.is_floating_point() and self.broadcasts else "other"
        if not bool(((target == 0) | (target == 1)).all()):
            return "numbers" if target.is_floating_point() else "other"
        one_column = output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)
        return "binary" if one_column or self.takes_logits else "other"

    @cached_property
    def is_cross_entropy(self) -> bool:
        """Whether the loss applies a log-softmax of its own to outputs of dim 1.

        Then a number added to all outputs of a sample changes nothing, and equal outputs cost ln C.
        """
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
            return False
        if target.is_floating_point():
            fits = target.shape == output.shape and torch.allclose(target.sum(1), torch.ones_like(target[:, 0]))
        else:
            fits = target.shape == output.shape[:1] + output.shape[2:]
            output, target = output.cpu(), target.cpu()  # on CUDA a wrong class would end the process
        if not fits:
            return False
        shift = torch.linspace(-1, 1, len(output), dtype=output.dtype, device=output.device)
        moved = output + shift.view(-1, *[1] * (output.ndim - 1))
        losses = self._losses(target, output, moved, torch.zeros_like(output))
        if losses is None:
            return False
        return (
            abs(losses[1] - losses[0]) <= 1e-3 * abs(losses[0]) + 1e-5
            and abs(losses[2] / log(output.shape[1]) - 1) < 1e-2
        )

    @cached_property
    def takes_logits(self) -> bool:
        """Whether the loss applies a sigmoid of its own: logits of ±20 cost next to nothing, or much where wrong."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or output.numel() != target.numel():
            return False
        right = (40 * target.to(output) - 20).reshape(output.shape)
        losses = self._losses(target, right, -right)
        return losses is not None and abs(losses[0]) < 1e-3 and losses[1] > 5

    @cached_property
    def broadcasts(self) -> bool:
        """Whether outputs and targets of unlike shapes are set against each other crosswise."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or output.shape == target.shape or output.numel() != target.numel():
            return False
        losses = self._losses(target, output), self._losses(target.reshape(output.shape), output)
        if losses[0] is None or losses[1] is None:
            return False
        return abs(losses[0][0] - losses[1][0]) > 1e-3 * abs(losses[1][0])

    def _losses(self, target: Tensor, *outputs: Tensor) -> list[float] | None:
        """The loss of the first target with some outputs; None where it refuses one."""
        with torch.no_grad():
            try:
                return [float(self.patient.task_loss(output, target)) for output in outputs]
            except Unfit:
                return None


def joined(parts: Sequence[Any]) -> Tensor | None:
    """Tensors of one shape and dtype beside each other along their first dim; None where they are not."""
    tensors = [part for part in parts if isinstance(part, Tensor) and part.ndim]
    if len(tensors) < len(parts) or any((a.shape[1:], a.dtype) != (b.shape[1:], b.dtype) for a, b in pairwise(tensors)):
        return None
    return torch.cat([t.detach() for t in tensors]) if tensors else None


def spread_and_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of every feature over the samples; `torch.std_mean` along dim 0 takes many times as long."""
    mean = x.mean(0)
    return (x - mean).square_().mean(0).sqrt(), mean
