"""What the measurements look at, each computed once: watched steps, outputs, and what every layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regtorch.doctor.patient import Patient
from regtorch.doctor.restored import restored
from regtorch.doctor.scale import scale_changes
from regtorch.doctor.trial import Trial, trial
from regtorch.weights import modules_of

__all__ = ["Exam", "Layer", "Task", "joined"]

Task = Literal["classes", "binary", "numbers", "other"]
STEPS = 20
"""Of a watched training; two of them and a few forward passes are all that the doctor's cheap part costs."""


@dataclass(frozen=True)
class Layer:
    """A module without submodules, in the order of the forward pass, and what it saw of one batch in training mode.

    Attributes:
        name: its dotted name; the root's is empty.
        module: the module.
        input: its first input, detached.
        output: its output, detached.
    """

    name: str
    module: nn.Module
    input: Tensor
    output: Tensor


class Exam:
    """The measurements' common ground."""

    def __init__(self, patient: Patient, steps: int = STEPS) -> None:
        self.patient = patient
        self.steps = steps

    @cached_property
    def with_rules(self) -> Trial:
        """Watched steps as they are."""
        return trial(self.patient, self.steps)

    @cached_property
    def without_penalties(self) -> Trial:
        """The same steps without the penalties."""
        return trial(self.patient, self.steps, penalties=False)

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
        """The batches' inputs beside each other; None where they are no tensors of one shape."""
        return joined([x for x, _ in self.patient.batches])

    @cached_property
    def targets(self) -> Tensor | None:
        """The batches' targets beside each other; None where they are of unlike shapes."""
        return joined([y for _, y in self.patient.batches])

    @cached_property
    def outputs(self) -> Sequence[Any]:
        """The net's output of each batch, in evaluation mode, without gradients."""
        with restored(self.patient.model), torch.no_grad():
            self.patient.model.eval()
            return [self.patient.model(x) for x, _ in self.patient.batches]

    @cached_property
    def layers(self) -> Sequence[Layer]:
        """Every leaf module's first call on the first batch, in training mode."""
        found: dict[int, Layer] = {}
        names = {id(module): name for name, module in modules_of(self.patient.model).items()}

        def keep(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            first = next((a for a in arguments if isinstance(a, Tensor)), None)
            if first is not None and isinstance(output, Tensor) and id(module) not in found:
                found[id(module)] = Layer(names[id(module)], module, first.detach().clone(), output.detach().clone())

        leaves = [m for m in self.patient.model.modules() if not any(True for _ in m.children())]
        handles = [module.register_forward_hook(keep) for module in leaves if id(module) in names]
        try:
            with restored(self.patient.model), torch.no_grad():
                torch.manual_seed(0)
                self.patient.model.train()
                self.patient.model(self.patient.batches[0][0])
        finally:
            for handle in handles:
                handle.remove()
        return list(found.values())

    @cached_property
    def task(self) -> Task:
        """What the loss makes of outputs and targets, told by trying it and not by its name."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return "other"
        if self.is_cross_entropy:
            return "classes"
        if target.is_floating_point() and not _is_binary(target):
            return "numbers" if output.shape == target.shape or output.numel() == target.numel() else "other"
        one_column = output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1)
        return "binary" if one_column and _is_binary(target) else "other"

    @cached_property
    def is_cross_entropy(self) -> bool:
        """Whether the loss applies a log-softmax of its own to the outputs and takes class numbers."""
        output, target = self.outputs[0], self.patient.batches[0][1]
        if not isinstance(output, Tensor) or output.ndim != 2 or target.is_floating_point() or target.ndim != 1:
            return False
        if not ((target >= 0) & (target < output.shape[1])).all():  # on CUDA a wrong one would end the process
            return False
        with torch.no_grad():
            try:
                loss = self.patient.task_loss(output, target)
                return bool(torch.isclose(loss.float(), F.cross_entropy(output.float(), target), rtol=1e-3))
            except (RuntimeError, IndexError):
                return False


def joined(parts: Sequence[Any]) -> Tensor | None:
    """Tensors of one shape and dtype beside each other along their first dim; None where they are not."""
    tensors = [part for part in parts if isinstance(part, Tensor) and part.ndim]
    if len(tensors) < len(parts) or len({(t.shape[1:], t.dtype) for t in tensors}) > 1:
        return None
    return torch.cat([t.detach() for t in tensors])


def _is_binary(target: Tensor) -> bool:
    return bool(((target == 0) | (target == 1)).all())
