"""What the measurements look at, each computed once: watched steps, outputs, and what every layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.watch.calls import Call, calls, hooked, with_weights
from regtorch.doctor.watch.loss import LossBehaviour
from regtorch.doctor.watch.restored import restored, seed
from regtorch.doctor.watch.scale import scale_changes
from regtorch.doctor.watch.steps import WatchedSteps, watch_steps
from regtorch.doctor.watch.subject import Subject
from regtorch.doctor.watch.uses import look

__all__ = ["NOT_FINITE", "Observed", "joined", "spread_and_mean"]

STEPS = 20
"""Of a watched training; two of them and a few forward passes are all that the doctor's cheap part costs."""
NOT_FINITE = 4
"""Batches with numbers that are not finite on which it is tried what becomes of them."""
_OUTPUTS = 16  # batches whose outputs are looked at
_DECAYED = 8  # weights whose scale is looked at, as each takes two forward passes
_SAMPLES, _NUMBERS = 1024, 2**25  # inputs that are looked at, and how many numbers they are at most


class Observed:
    """The measurements' common ground."""

    def __init__(self, subject: Subject, steps: int = STEPS) -> None:
        self.subject = subject
        self.steps = steps
        self.calls = cache(self._calls)

    @cached_property
    def with_rules(self) -> WatchedSteps:
        """Watched steps as they are, with looks at the activations."""
        return watch_steps(self.subject, self.steps, look=look)

    @cached_property
    def without_penalties(self) -> WatchedSteps:
        """The same steps without the penalties."""
        if not self.subject.penalised and not self.subject.activities:
            return self.with_rules
        return watch_steps(self.subject, self.steps, penalties=0.0)

    @cached_property
    def without_decay(self) -> WatchedSteps:
        """The same steps without the optimizer's own weight decay."""
        return watch_steps(self.subject, self.steps, decay=0.0) if self.subject.decays else self.with_rules

    @cached_property
    def alone(self) -> WatchedSteps:
        """The same steps without the penalties and without the optimizer's decay."""
        if not self.subject.decays:
            return self.without_penalties
        return watch_steps(self.subject, self.steps, penalties=0.0, decay=0.0, look=look)

    def _calls(self, number: int = 0, dropping: bool = True) -> Sequence[Call]:
        """The modules' calls on a batch in training mode, in their order."""
        return calls(self.subject, number, dropping=dropping)

    @cached_property
    def penalty_now(self) -> dict[str, float]:
        """The penalties' value of each weight, scales included."""
        total: dict[str, float] = {}
        with torch.no_grad():
            for factor, term in self.subject.terms:
                for name, value in term.values(factor).items():
                    total[name] = total.get(name, 0.0) + float(value)
        return total

    @cached_property
    def scale_changes(self) -> dict[str, float]:
        """By how much the outputs change when a penalised weight is doubled, relative to another change as large."""
        return scale_changes(self.subject, self.subject.penalised)

    @cached_property
    def scale_changes_of_decayed(self) -> dict[str, float]:
        """The same of the largest weights that the optimizer decays."""
        decayed = sorted(self.subject.decays, key=lambda name: -self.subject.trained[name].numel())[:_DECAYED]
        return scale_changes(self.subject, {name: self.subject.trained[name] for name in decayed})

    @cached_property
    def inputs(self) -> Tensor | None:
        """The first batches' inputs beside each other; None where they are no tensors of one shape."""
        parts = [x for x, _ in self.subject.batches]
        whole = joined(parts[:1])
        if whole is None or not len(whole):
            return whole if whole is None else joined(parts)
        samples = min(_SAMPLES, max(1, _NUMBERS * len(whole) // max(1, whole.numel())))
        return joined(parts[: -(-samples // len(whole))])

    @cached_property
    def targets(self) -> Tensor | None:
        """The batches' targets beside each other; None where they are of unlike shapes."""
        return joined([y for _, y in self.subject.batches])

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
        owners = with_weights(calls(self.subject, training=False))
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
        with restored(self.subject.model), torch.no_grad(), hooked(self.subject.model, enter, lambda *_: None):
            self.subject.model.eval()
            for number in range(min(_OUTPUTS, len(self.subject.batches))):
                outputs.append(self.subject.output(number))
        return outputs, joined(taken)

    @cached_property
    def loss(self) -> LossBehaviour:
        """The loss, tried on the outputs and others."""
        return LossBehaviour(self.subject, self.outputs)

    def is_finite_on(self, number: int) -> bool:
        """Whether loss and gradients of a batch are finite in training mode."""
        model = self.subject.model
        with restored(model):
            seed(0)
            model.train()
            loss = self.subject.task_loss(self.subject.output(number), self.subject.batch(number)[1])
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


def joined(parts: Sequence[Any]) -> Tensor | None:
    """Real, dense tensors of one shape and dtype beside each other along their first dim; None where they are not."""
    tensors = [
        t for t in parts if isinstance(t, Tensor) and t.ndim and t.layout is torch.strided and not t.is_complex()
    ]
    if len(tensors) < len(parts) or any((a.shape[1:], a.dtype) != (b.shape[1:], b.dtype) for a, b in pairwise(tensors)):
        return None
    return torch.cat([t.detach() for t in tensors]) if tensors else None


def spread_and_mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of every feature over the samples; `torch.std_mean` along dim 0 takes many times as long."""
    mean = x.mean(0)
    return (x - mean).square_().mean(0).sqrt(), mean
