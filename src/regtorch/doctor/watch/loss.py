"""What the loss makes of outputs and targets, told by trying it and not by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import isfinite, log, nan
from typing import Any, Literal

import torch
from torch import Tensor

from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.watch.restored import restored, seed
from regtorch.doctor.watch.subject import Subject

__all__ = ["LossBehaviour", "Task"]

Task = Literal["classes", "binary", "numbers", "other"]


class LossBehaviour:
    """The loss of a subject, tried on outputs that are the net's own and others.

    Args:
        subject: whose loss.
        outputs: of its net, of the first batches.
    """

    def __init__(self, subject: Subject, outputs: Sequence[Any]) -> None:
        self.subject = subject
        self.outputs = outputs

    @cached_property
    def task(self) -> Task:
        """What is asked of the net."""
        output, target = self.outputs[0], self.subject.batches[0][1]
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
        output, target = self.outputs[0], self.subject.batches[0][1]
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
        output, target = self.outputs[0], self.subject.batches[0][1]
        if not isinstance(output, Tensor) or not _holds_classes(output, target) or output.shape[1] < 2:
            return False
        output, target = output.cpu(), target.cpu()
        labels = torch.zeros_like(output).scatter_(1, target.long().clamp(0, output.shape[1] - 1)[:, None], 1)
        losses = self._losses(target, torch.ones_like(output), labels, 1 - labels, -2 * labels)
        return losses is not None and all(abs(a - b) < 1e-3 for a, b in zip(losses, (-1, -1, 0, 2), strict=True))

    @cached_property
    def takes_logits(self) -> bool:
        """Whether the loss applies a sigmoid of its own: logits of ±20 cost next to nothing, or much where wrong."""
        output, target = self.outputs[0], self.subject.batches[0][1]
        if not isinstance(output, Tensor) or output.numel() != target.numel():
            return False
        right = (40 * target.to(output) - 20).reshape(output.shape)
        losses = self._losses(target, right, -right)
        return losses is not None and abs(losses[0]) < 1e-3 and losses[1] > 5

    @cached_property
    def needs_probabilities(self) -> bool:
        """Whether the loss refuses outputs outside [0, 1], or is not finite there."""
        output, target = self.outputs[0], self.subject.batches[0][1]
        if not isinstance(output, Tensor):
            return False
        output, target = output.cpu(), target.cpu()  # on CUDA the refusal would end the process
        losses = self._losses(target, torch.full_like(output, -0.5), torch.full_like(output, 1.5))
        return losses is None or not all(map(isfinite, losses))

    @cached_property
    def value(self) -> float:
        """The loss of the first batch as it is; not a number where it refuses that."""
        cost = self.cost(self.outputs[0], self.subject.batches[0][1])
        return nan if cost is None else cost

    def cost(self, output: Tensor, target: Tensor) -> float | None:
        """The loss of an output; None where it refuses it."""
        found = self._losses(target, output)
        return found[0] if found else None

    @cached_property
    def is_constant(self) -> bool:
        """Whether the loss is the same whatever the net puts out, and has no gradient by another way either."""
        for output, (_, target) in zip(self.outputs, self.subject.batches, strict=False):
            if not isinstance(output, Tensor) or not output.is_floating_point() or not output.numel():
                return False
            output, target = output.cpu(), target.cpu()  # on CUDA a refusal would end the process
            drawn = (self._losses(target, other) for other in (output, *_drawn(output, target)))
            found = [losses[0] for losses in drawn if losses is not None]
            if len(found) < 2 or not all(map(isfinite, found)) or max(found) - min(found) > 1e-6 * abs(max(found)):
                return False
        return not self._has_gradient()

    def _has_gradient(self) -> bool:
        with self.subject.restored():
            seed(0)
            self.subject.model.train()
            loss = self.subject.task_loss(self.subject.output(0), self.subject.batch(0)[1])
            if loss.requires_grad:
                loss.backward()
            grads = (p.grad for p in self.subject.model.parameters() if p.grad is not None)
            return any(bool((g.coalesce().values() if g.is_sparse else g).any()) for g in grads)

    @cached_property
    def uses_targets(self) -> bool:
        """Whether other targets change the loss; those of self-supervised losses are often there for form's sake."""
        output, target = self.outputs[0], self.subject.batches[0][1]
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
        for output, (_, target) in zip(self.outputs, self.subject.batches, strict=False):
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

    def _losses(self, target: Tensor, *outputs: Tensor) -> list[float] | None:
        """The loss of the first target with some outputs, each with the same random numbers; None where it refuses."""
        found: list[float] = []
        with restored(self.subject.model), torch.no_grad():
            for output in outputs:
                seed(0)
                try:
                    found.append(float(self.subject.task_loss(output, target)))
                except (Unfit, Refused):
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
