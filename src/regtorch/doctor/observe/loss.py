"""How a loss behaves, found by evaluating it, not by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import isfinite, log, nan
from typing import Any, Literal

import torch
from torch import Tensor

from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.observe.restored import random_numbers_restored, restored, seed
from regtorch.doctor.observe.subject import Subject

__all__ = ["LossBehaviour", "Task"]

Task = Literal["classes", "binary", "numbers", "other"]


class LossBehaviour:
    """The loss of a subject, evaluated on its net's outputs and on artificial ones."""

    def __init__(self, subject: Subject, outputs: Sequence[Any]) -> None:
        self.subject = subject
        self.outputs = outputs
        self._writes: bool | None = None  # whether evaluating the loss writes to the net's tensors

    @cached_property
    def _pairs(self) -> Sequence[tuple[Any, Tensor]]:
        """The outputs and their targets; sparse ones dense, since losses are evaluated on changed ones."""
        targets = (y for _, y in self.subject.batches)
        pairs = zip(self.outputs, targets, strict=False)
        return [(x, y if y.layout is torch.strided else y.to_dense()) for x, y in pairs]

    @cached_property
    def task(self) -> Task:
        """What the net is asked to predict."""
        output, target = self._pairs[0]
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
        """Whether the loss applies its own log-softmax over dim 1."""
        return self.cross_entropy_sign == 1

    @cached_property
    def cross_entropy_sign(self) -> int:
        """1 for a cross entropy of logits, -1 for its negative, 0 for any other loss.

        A cross entropy ignores a constant added to all outputs of a sample, and equal outputs cost ±ln C.
        """
        output, target = self._pairs[0]
        if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
            return 0
        if target.is_floating_point():
            fits = target.shape == output.shape and torch.allclose(target.sum(1), torch.ones_like(target[:, 0]))
        else:
            fits = _holds_classes(output, target)
            output, target = output.cpu(), target.cpu()  # an invalid class kills a CUDA process
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
        """Whether the loss is minus the mean output of the labels, like `NLLLoss`, which expects log-probabilities."""
        output, target = self._pairs[0]
        if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
            return False
        output, target = output.cpu(), target.cpu()
        if _holds_classes(output, target):
            labels = torch.zeros_like(output).scatter_(1, target.long().clamp(0, output.shape[1] - 1)[:, None], 1)
        elif target.shape == output.shape and bool(
            ((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all()
        ):
            labels = target.to(output)
        else:
            return self._is_divergence(output, target)
        losses = self._losses(target, torch.ones_like(output), labels, 1 - labels, -2 * labels)
        return losses is not None and all(abs(a - b) < 1e-3 for a, b in zip(losses, (-1, -1, 0, 2), strict=True))

    def _is_divergence(self, output: Tensor, target: Tensor) -> bool:
        """Whether the loss falls by a multiple of ⟨target, output⟩, like `KLDivLoss` of probabilities."""
        rows = target.is_floating_point() and target.shape == output.shape and bool((target >= 0).all())
        if not rows or float((target.double().sum(1) - 1).abs().max()) > 1e-3:
            return False
        other = 1 - target.to(output)
        losses = self._losses(target, torch.zeros_like(output), torch.ones_like(output), other, -other)
        if losses is None or not all(map(isfinite, losses)):
            return False
        at_zero, of_ones, forth, back = losses
        return of_ones < at_zero - 1e-6 and abs(forth + back - 2 * at_zero) < 1e-4 * (abs(at_zero) + at_zero - of_ones)

    @cached_property
    def of_sure_logits(self) -> float:
        """The loss of logits that are sure of the right classes, almost 0 for a cross entropy; NaN if unknown."""
        output, target = self._pairs[0]
        if not isinstance(output, Tensor) or output.ndim < 2:
            return nan
        output, target = output.cpu(), target.cpu()  # an invalid class kills a CUDA process
        if _holds_classes(output, target):
            if bool(((target < 0) | (target >= output.shape[1])).any()):
                return nan
            rows = torch.zeros_like(output).scatter_(1, target.long()[:, None], 1)
        elif target.shape == output.shape and bool(((target == 0) | (target == 1)).all()):
            rows = target.to(output)
        else:
            return nan
        losses = self._losses(target, 40 * rows)
        return losses[0] if losses else nan

    @cached_property
    def takes_logits(self) -> bool:
        """Whether the loss applies its own sigmoid: correct logits of ±20 cost almost nothing, wrong ones much."""
        output, target = self._pairs[0]
        if not isinstance(output, Tensor) or output.numel() != target.numel():
            return False
        right = (40 * target.to(output) - 20).reshape(output.shape)
        losses = self._losses(target, right, -right)
        return losses is not None and abs(losses[0]) < 1e-3 and losses[1] > 5

    @cached_property
    def needs_probabilities(self) -> bool:
        """Whether the loss rejects outputs outside [0, 1], or is not finite there."""
        output, target = self._pairs[0]
        if not isinstance(output, Tensor):
            return False
        output, target = output.cpu(), target.cpu()  # a failed assertion kills a CUDA process
        losses = self._losses(target, torch.full_like(output, -0.5), torch.full_like(output, 1.5))
        return losses is None or not all(map(isfinite, losses))

    @cached_property
    def value(self) -> float:
        """The loss of the first batch; NaN if it rejects that."""
        cost = self.cost(*self._pairs[0])
        return nan if cost is None else cost

    def cost(self, output: Tensor, target: Tensor) -> float | None:
        """The loss of an output; None if it rejects it."""
        found = self._losses(target, output)
        return found[0] if found else None

    def costs(self, target: Tensor, *outputs: Tensor) -> list[float] | None:
        """The losses of some outputs; None if one is rejected or not finite."""
        found = self._losses(target, *outputs)
        return found if found is not None and all(map(isfinite, found)) else None

    @cached_property
    def is_constant(self) -> bool:
        """Whether the loss is the same for all outputs and has no gradient in the net either."""
        for output, target in self._pairs:
            if not isinstance(output, Tensor) or not output.is_floating_point() or not output.numel():
                return False
            output, target = output.cpu(), target.cpu()  # a failed assertion kills a CUDA process
            drawn = (self._losses(target, other) for other in (output, *_drawn(output, target)))
            found = [losses[0] for losses in drawn if losses is not None]
            if len(found) < 2 or not all(map(isfinite, found)) or max(found) - min(found) > 1e-6 * abs(max(found)):
                return False
        with self.subject.restored():
            self.subject.backward(0)
            return not any(bool(grad.any()) for grad in self.subject.gradients())

    @cached_property
    def uses_targets(self) -> bool:
        """Whether the loss depends on the targets; self-supervised losses often ignore them."""
        output, target = self._pairs[0]
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return True
        output, target = output.cpu(), target.cpu()  # an invalid class kills a CUDA process
        for drawn in (output, *_drawn(output, target)):
            true = self._losses(target, drawn)
            changed = (_moved(target), torch.zeros_like(target), torch.ones_like(target))
            losses = [self._losses(y, drawn) for y in changed]
            if true is None or any(loss is not None and loss != true for loss in losses):
                return True
        return False

    @cached_property
    def broadcasts(self) -> bool:
        """Whether the loss broadcasts outputs against targets, so that the order of the targets does not matter."""
        for output, target in self._pairs:
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

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """Restore the net, unless its losses have never written to it; the diagnosis restores it at its end anyway."""
        tensors = [*self.subject.model.parameters(), *self.subject.model.buffers()]
        before = [t._version for t in tensors]
        with random_numbers_restored() if self._writes is False else restored(self.subject.model):
            yield
            self._writes = bool(self._writes) or before != [t._version for t in tensors]

    def _losses(self, target: Tensor, *outputs: Tensor) -> list[float] | None:
        """The losses of some outputs, each with the same random numbers; None if one is rejected."""
        found: list[float] = []
        with self._as_before(), torch.no_grad():
            for output in outputs:
                seed(0)
                try:
                    found.append(float(self.subject.task_loss(output, target)))
                except (Unfit, Refused):
                    return None
        return found


def _holds_classes(output: Tensor, target: Tensor) -> bool:
    """Whether the targets have the shape of class indices for outputs with classes in dim 1."""
    return output.ndim > 1 and not target.is_floating_point() and target.shape == output.shape[:1] + output.shape[2:]


def _moved(target: Tensor) -> Tensor:
    """The targets, each assigned to another sample of the batch."""
    if not target.ndim:
        return target
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0), device="cpu").to(target.device)
    moved = target.clone()
    moved[order] = target[order.roll(1)]
    return moved


def _drawn(output: Tensor, target: Tensor) -> Iterator[Tensor]:
    """Random outputs: unbounded, with the targets' spread; then between 0 and 1."""
    own = torch.Generator().manual_seed(0)
    noise = torch.randn(output.shape, generator=own, device=own.device).to(output)
    spread = float(target.double().std(correction=0)) or 1.0
    yield noise * spread + float(target.double().mean())
    yield noise.sigmoid()
