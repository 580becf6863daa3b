"""What the measurements observe, each computed once: watched steps, outputs, inputs of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.observe.calls import Call, calls, entering, with_weights
from regtorch.doctor.observe.loss import LossBehaviour
from regtorch.doctor.observe.pairs import kept
from regtorch.doctor.observe.restored import forward_only, restored
from regtorch.doctor.observe.scale import scale_changes
from regtorch.doctor.observe.steps import WatchedSteps, watch_steps
from regtorch.doctor.observe.subject import Subject
from regtorch.doctor.observe.two_modes import other_in_training
from regtorch.doctor.observe.uses import look

__all__ = ["NOT_FINITE", "Observed", "joined"]

STEPS = 20
"""Steps that are watched; two such series and a few forward passes are most of the cost of `diagnose`."""
NOT_FINITE = 4
"""Batches with NaN or infinite numbers to test."""
_OUTPUTS, _ENOUGH = 16, 256  # batches at most, and samples from which there are enough
_DECAYED = 8  # weights whose scale is tested, at two forward passes each
_SAMPLES, _NUMBERS = 1024, 2**25  # inputs, and the numbers in them, at most


class Observed:
    """The measurements' shared, cached observations of one subject."""

    def __init__(self, subject: Subject, steps: int = STEPS) -> None:
        self.subject = subject
        self.steps = steps
        self.calls = cache(self._calls)

    @cached_property
    def with_rules(self) -> WatchedSteps:
        """The watched steps, with looks at the activations."""
        return watch_steps(self.subject, self.steps, look=look)

    @cached_property
    def without_penalties(self) -> WatchedSteps:
        if not self.subject.penalised and not self.subject.activities:
            return self.with_rules
        return watch_steps(self.subject, self.steps, penalties=0.0)

    @cached_property
    def without_decay(self) -> WatchedSteps:
        """The steps without the optimizer's own weight decay."""
        return watch_steps(self.subject, self.steps, decay=0.0) if self.subject.decays else self.with_rules

    @cached_property
    def alone(self) -> WatchedSteps:
        """The steps without penalties and without the optimizer's decay."""
        if not self.subject.decays:
            return self.without_penalties
        return watch_steps(self.subject, self.steps, penalties=0.0, decay=0.0, look=look)

    def _calls(self, number: int = 0, dropping: bool = True) -> Sequence[Call]:
        return calls(self.subject, number, dropping=dropping)

    @cached_property
    def scale_changes(self) -> dict[str, float]:
        return scale_changes(self.subject, self.subject.penalised)

    @cached_property
    def scale_changes_of_decayed(self) -> dict[str, float]:
        """Those of the largest weights that the optimizer decays."""
        decayed = sorted(self.subject.decays, key=lambda name: -self.subject.trained[name].numel())[:_DECAYED]
        return scale_changes(self.subject, {name: self.subject.trained[name] for name in decayed})

    @cached_property
    def inputs(self) -> Tensor | None:
        """The first batches' inputs, concatenated; None unless they are tensors of one shape."""
        parts = [x for x, _ in self.subject.batches]
        first = joined(parts[:1])
        if first is None or not len(first):
            return first if first is None else joined(parts)
        samples = min(_SAMPLES, max(1, _NUMBERS * len(first) // max(1, first.numel())))
        return joined(parts[: -(-samples // len(first))])

    @cached_property
    def targets(self) -> Tensor | None:
        """The batches' targets, concatenated; None if their shapes differ."""
        return joined([y for _, y in self.subject.batches])

    @cached_property
    def outputs(self) -> Sequence[Any]:
        """The outputs of the first batches, in eval mode, without gradients."""
        return self._passed[0]

    @cached_property
    def taken_in(self) -> Tensor | None:
        """The inputs of the first layer with weights: nets may rescale theirs."""
        return self._passed[1]

    @cached_property
    def first_layer(self) -> nn.Module | None:
        """The first module with its own weights that contains no other such module."""
        owners = with_weights(calls(self.subject, training=False))
        return next((m for m in owners if not any(part in owners for part in m.modules() if part is not m)), None)

    @cached_property
    def first_inputs(self) -> tuple[Tensor | None, Tensor | None]:
        """What the first layer receives of the first batch in training and in evaluation, without dropout."""
        if self.first_layer is None:
            return None, None
        trained, evaluated = (entering(self.subject, self.first_layer, training=mode)[0] for mode in (True, False))
        return trained, evaluated

    @cached_property
    def other_in_training(self) -> bool:
        """Whether the first layer's inputs have another scale or mean in training than in evaluation."""
        trained, evaluated = self.first_inputs
        if trained is None or evaluated is None or self.first_layer is None:
            return False
        return other_in_training(self.subject, self.first_layer, trained, evaluated)

    @cached_property
    def _passed(self) -> tuple[Sequence[Any], Tensor | None]:
        outputs: list[Any] = []
        taken: list[Any] = []
        first, samples = self.first_layer, 0

        def enter(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            if len(taken) == len(outputs):  # its first call in a pass
                x = arguments[0] if arguments else None
                x = kept(x)
                taken.append(torch.empty(0) if x is None or not x.ndim else x)

        with ExitStack() as undo:
            undo.enter_context(forward_only(self.subject.model))
            if first is not None:
                undo.callback(first.register_forward_pre_hook(enter, prepend=True).remove)
            self.subject.model.eval()
            for number in range(min(_OUTPUTS, len(self.subject.batches))):
                outputs.append(self.subject.output(number))
                target = self.subject.batch(number)[1]
                samples += len(target) if target.ndim else 1
                if samples >= _ENOUGH:
                    break
        return outputs, joined(taken)

    @cached_property
    def loss(self) -> LossBehaviour:
        return LossBehaviour(self.subject, self.outputs)

    def is_finite_on(self, number: int) -> bool:
        """Whether loss and gradients of a batch are finite in training mode."""
        with restored(self.subject.model):
            values = [self.subject.backward(number), *self.subject.gradients()]
            return all(bool(torch.isfinite(value).all()) for value in values)


def joined(parts: Sequence[Any]) -> Tensor | None:
    """Concatenate real, dense tensors of one sample shape and dtype; None if they are not such."""
    tensors = [
        t for t in parts if isinstance(t, Tensor) and t.ndim and t.layout is torch.strided and not t.is_complex()
    ]
    if len(tensors) < len(parts) or any((a.shape[1:], a.dtype) != (b.shape[1:], b.dtype) for a, b in pairwise(tensors)):
        return None
    return torch.cat([t.detach() for t in tensors]) if tensors else None
