"""What the measurements look at, each computed once: watched steps, outputs, and what every layer sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from itertools import pairwise
from math import isfinite, log
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regtorch.doctor.calls import Call, calls, hooked, with_weights
from regtorch.doctor.finding import Unfit
from regtorch.doctor.patient import Patient
from regtorch.doctor.restored import restored
from regtorch.doctor.scale import scale_changes
from regtorch.doctor.trial import Trial, trial
from regtorch.doctor.uses import look

__all__ = ["NOT_FINITE", "Exam", "Task", "joined", "spread_and_mean"]

Task = Literal["classes", "binary", "numbers", "other"]
STEPS = 20
"""Of a watched training; two of them and a few forward passes are all that the doctor's cheap part costs."""
NOT_FINITE = 4
"""Batches with numbers that are not finite on which it is tried what becomes of them."""
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
        return self._passed[0]

    @cached_property
    def taken_in(self) -> Tensor | None:
        """What the first layer with weights takes in, of as many samples as are looked at; nets scale inputs too."""
        return self._passed[1]

    @cached_property
    def first_layer(self) -> nn.Module | None:
        """The first module with weights of its own, not counting what holds another one."""
        owners = with_weights(calls(self.patient, training=False))
        return next((m for m in owners if not any(part in owners for part in m.modules() if part is not m)), None)

    @cached_property
    def _passed(self) -> tuple[Sequence[Any], Tensor | None]:
        taken: list[Any] = []
        first, whole = self.first_layer, 0 if self.inputs is None else len(self.inputs)

        def enter(_: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
            if module is first and len(taken) == len(outputs) and sum(map(len, taken)) < whole:
                x = arguments[0] if arguments else None
                taken.append(x.detach().clone() if isinstance(x, Tensor) and x.ndim else torch.empty(0))

        outputs: list[Any] = []
        with restored(self.patient.model), torch.no_grad(), hooked(self.patient.model, enter, lambda *_: None):
            self.patient.model.eval()
            for number in range(min(_OUTPUTS, len(self.patient.batches))):
                outputs.append(self.patient.output(number))
        return outputs, joined(taken)

    @cached_property
    def task(self) -> Task:
        """What the loss makes of outputs and targets, told by trying it and not by its name."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or not output.is_floating_point() or not self.uses_targets:
            return "other"
        if self.is_cross_entropy:
            return "classes"
        if output.numel() != target.numel():
            return "other"
        if not bool(((target == 0) | (target == 1)).all()):
            return "numbers" if target.is_floating_point() else "other"
        one_column = output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)
        return "binary" if one_column or self.takes_logits else "other"

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss applies a log-softmax of its own to outputs of dim 1."""
        return self.cross_entropy_sign == 1

    @cached_property
    def cross_entropy_sign(self) -> int:
        """1 for a cross entropy of logits, -1 for one with the sign turned round, 0 for any other loss.

        A number added to all outputs of a sample changes nothing then, and equal outputs cost ±ln C.
        """
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
            return 0
        if target.is_floating_point():
            fits = target.shape == output.shape and torch.allclose(target.sum(1), torch.ones_like(target[:, 0]))
        else:
            fits = _holds_classes(output, target)
            output, target = output.cpu(), target.cpu()  # on CUDA a wrong class would end the process
        if not fits:
            return 0
        shift = torch.linspace(-1, 1, len(output), dtype=output.dtype, device=output.device)
        moved = output + shift.view(-1, *[1] * (output.ndim - 1))
        losses = self._losses(target, output, moved, torch.zeros_like(output))
        if losses is None or abs(losses[1] - losses[0]) > 1e-3 * abs(losses[0]) + 1e-5:
            return 0
        of_equal = losses[2] / log(output.shape[1])
        return next((sign for sign in (1, -1) if abs(of_equal - sign) < 1e-2), 0)

    @cached_property
    def is_likelihood(self) -> bool:
        """Whether the loss is minus the mean of the labels' outputs, as of `NLLLoss`, which expects log-probabilities.

        Then ones cost -1, and so do ones for the labels alone, and all the others cost nothing.
        """
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or not _holds_classes(output, target) or output.shape[1] < 2:
            return False
        output, target = output.cpu(), target.cpu()
        labels = torch.zeros_like(output).scatter_(1, target.long().clamp(0, output.shape[1] - 1)[:, None], 1)
        losses = self._losses(target, torch.ones_like(output), labels, 1 - labels, -2 * labels)
        return losses is not None and all(abs(a - b) < 1e-3 for a, b in zip(losses, (-1, -1, 0, 2), strict=True))

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
    def needs_probabilities(self) -> bool:
        """Whether the loss refuses outputs outside [0, 1], or is not finite there."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor):
            return False
        output, target = output.cpu(), target.cpu()  # on CUDA the refusal would end the process
        losses = self._losses(target, torch.full_like(output, -0.5), torch.full_like(output, 1.5))
        return losses is None or not all(map(isfinite, losses))

    @cached_property
    def uses_targets(self) -> bool:
        """Whether other targets change the loss; those of self-supervised losses are often there for form's sake."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return True
        output, target = output.cpu(), target.cpu()  # on CUDA a wrong class would end the process
        for drawn in (output, *_drawn(output, target)):
            true = self._losses(target, drawn)
            others = [
                self._losses(other, drawn)
                for other in (_moved(target), torch.zeros_like(target), torch.ones_like(target))
            ]
            if true is None or any(other is not None and other != true for other in others):
                return True
        return False

    @cached_property
    def broadcasts(self) -> bool:
        """Whether outputs and targets of unlike shapes are set against each other crosswise.

        Then it does not matter which target of the batch belongs to which output.
        """
        for output, (_, target) in zip(self.outputs, self.patient.batches, strict=False):
            alike = not isinstance(output, Tensor) or output.shape == target.shape or output.numel() != target.numel()
            if alike or not output.is_floating_point() or not self.uses_targets:
                return False
            other = _moved(target)
            if torch.equal(other, target):
                continue
            for drawn in _drawn(output, target):
                true, moved = self._losses(target, drawn), self._losses(other, drawn)
                if true and moved and isfinite(true[0]) and isfinite(moved[0]):
                    return abs(moved[0] - true[0]) < 1e-4 * abs(true[0])
        return False

    def is_finite_on(self, number: int) -> bool:
        """Whether loss and gradients of a batch are finite in training mode."""
        model = self.patient.model
        with restored(model):
            torch.manual_seed(0)
            model.train()
            loss = self.patient.task_loss(self.patient.output(number), self.patient.batch(number)[1])
            if not bool(torch.isfinite(loss)):
                return False
            if loss.requires_grad:
                loss.backward()
            grads = [
                p.grad.coalesce().values() if p.grad.is_sparse else p.grad
                for p in model.parameters()
                if p.grad is not None
            ]
            return all(bool(torch.isfinite(grad).all()) for grad in grads)

    def _losses(self, target: Tensor, *outputs: Tensor) -> list[float] | None:
        """The loss of the first target with some outputs, each with the same random numbers; None where it refuses."""
        found: list[float] = []
        with restored(self.patient.model), torch.no_grad():
            for output in outputs:
                torch.manual_seed(0)
                try:
                    found.append(float(self.patient.task_loss(output, target)))
                except Unfit:
                    return None
        return found


def _holds_classes(output: Tensor, target: Tensor) -> bool:
    """Whether the targets' form is that of class numbers for outputs of dim 1."""
    return output.ndim > 1 and not target.is_floating_point() and target.shape == output.shape[:1] + output.shape[2:]


def _moved(target: Tensor) -> Tensor:
    """The targets, each given to another sample of the batch."""
    if not target.ndim:
        return target
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0)).to(target.device)
    moved = target.clone()
    moved[order] = target[order.roll(1)]
    return moved


def _drawn(output: Tensor, target: Tensor) -> Iterator[Tensor]:
    """Random outputs without bounds, spread as the targets are, and ones between 0 and 1."""
    own = torch.Generator().manual_seed(0)
    noise = torch.randn(output.shape, generator=own).to(output)
    spread = float(target.double().std(correction=0)) or 1.0
    yield noise * spread + float(target.double().mean())
    yield noise.sigmoid()


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
