"""A LightningModule's training step: its loss, and the output of the net in it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import Refused, Unfit
from regtorch.doctor.forms.own_loss import logits_of, views_of_logits
from regtorch.doctor.forms.trees import Path, pick, with_part
from regtorch.doctor.forms.views import by_input, left_together, of_one, output_names
from regtorch.doctor.observe.form import Views
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import Passed, fresh, same
from regtorch.doctor.observe.restored import seed

__all__ = ["TrainingStep", "loss_of_pass", "views_of_step"]

_NEAR = 1e-3  # of a loss


@dataclass
class TrainingStep:
    """Runs the training step of a LightningModule.

    Attributes:
        module: it.
        source: the part with weights that was called last in the last step, by the step itself.
        calls: how often.
    """

    module: Any
    source: nn.Module | None = None
    calls: int = 0
    _arguments: int = field(init=False)

    def __post_init__(self) -> None:
        found = inspect.signature(self.module.training_step).parameters.values()
        places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
        several = any(p.kind is p.VAR_POSITIONAL for p in places)
        self._arguments = 2 if several else len([p for p in places if p.default is p.empty])

    def __call__(self, batch: Any, number: int) -> Passed:
        """The pass of a batch: the output of the net, and the loss, or the error that it raised."""
        seen: list[tuple[nn.Module, Any]] = []
        try:
            with _outermost_calls(self.module, seen):
                loss = self._loss(batch, number)
        except Exception as error:
            if isinstance(error, Refused) or not seen or not isinstance(seen[-1][1], Tensor):  # of the net
                raise
            loss = error
        self.source, output = seen[-1] if seen else (None, None)
        self.calls = sum(module is self.source for module, _ in seen)
        return Passed(output, number, loss)

    def loss_of(self, output: Tensor, batch: Any, number: int) -> Any:
        """The loss of a batch, if the net gives this output."""
        assert self.source is not None
        with _returning(self.source, output):
            return self._loss(batch, number)

    def _loss(self, batch: Any, number: int) -> Any:
        try:
            found = self.module.training_step(*(batch, number, 0)[: max(1, self._arguments)])
        except RuntimeError as error:
            if "is not attached to a `Trainer`" not in str(error):
                raise
            raise Refused(
                "diagnose: training_step needs a Trainer, to which the LightningModule is not attached; set "
                "module.trainer = Trainer(…)"
            ) from error
        if isinstance(found, Mapping):
            if "loss" not in found:
                raise Refused(f"diagnose: training_step must return a loss, received a dict of {', '.join(found)}")
            found = found["loss"]
        if found is None:
            raise Refused("diagnose: training_step must return a loss, received None, which skips the batch")
        return found


@contextmanager
def _outermost_calls(model: nn.Module, seen: list[tuple[nn.Module, Any]]) -> Iterator[None]:
    """Record the calls of parts with weights that no other such part makes, with their outputs."""
    inside: list[nn.Module] = []

    def enter(module: nn.Module, _: Any) -> None:
        inside.append(module)

    def leave(module: nn.Module, _: Any, output: Any) -> None:
        if inside and inside[-1] is module:
            inside.pop()
        if not inside and not (isinstance(output, Tensor) and output.ndim == 0):  # a loss or a score
            seen.append((module, output))

    with ExitStack() as handles:
        for module in model.modules():
            if next(module.parameters(), None) is not None:
                handles.callback(module.register_forward_pre_hook(enter).remove)
                handles.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


@contextmanager
def _returning(module: nn.Module, output: Any) -> Iterator[None]:
    """Let a module return a given output."""
    own = vars(module).get("forward")
    vars(module)["forward"] = lambda *_, **__: output
    try:
        yield
    finally:
        if own is None:
            del vars(module)["forward"]
        else:
            vars(module)["forward"] = own


def loss_of_pass(passed: Passed) -> Any:
    """The loss of a pass; raises the error that it raised."""
    if isinstance(passed.loss, Exception):
        raise passed.loss
    return passed.loss


def views_of_step(obs: Observed, step: TrainingStep, given: Sequence[Any], place: Path | None) -> Views:
    """The setup with the net's output alone, if the loss depends on the weights through it.

    Args:
        obs: the setup.
        step: its step.
        given: the batches.
        place: where a batch has its target; None if that is unknown.
    """
    passed = obs.outputs[-1]
    targets = [None if place is None else pick(batch, place) for batch in given]
    output = passed.outputs
    if output is not None and not isinstance(output, Tensor) and logits_of(output) is not None:
        return views_of_logits(obs, targets)
    if not isinstance(output, Tensor) or not output.is_floating_point() or place is None or step.calls != 1:
        why = "training_step computes its loss of more than one output of a net and one target"
    elif not _is_whole(obs, step, given):
        why = "The loss of training_step has more to it than the last output of the net"
    else:
        alone = Observed(_alone(obs, step, given, place), obs.steps)
        return Views(alone, inputs=by_input(alone))
    change = "Nothing; to have them examined pass the net, the loss and the batches."
    inputs = {} if place is None else by_input(obs)  # else targets would count as inputs
    return Views(obs, inputs=inputs, left=left_together(output_names(output), why, change))


def _is_whole(obs: Observed, step: TrainingStep, given: Sequence[Any]) -> bool:
    """Whether the step gives its own loss again from the output alone."""
    subject = obs.subject
    with subject.restored(), torch.no_grad():
        seed(0)
        subject.model.eval()
        passed = subject.output(0)
        if isinstance(passed.loss, Exception):
            return True
        try:
            again = float(step.loss_of(passed.outputs, fresh(given[0]), 0))
        except (Unfit, Refused):
            raise
        except Exception:
            return False
        return abs(again - float(passed.loss)) <= _NEAR * abs(float(passed.loss)) + 1e-6


def _alone(obs: Observed, step: TrainingStep, given: Sequence[Any], place: Path) -> Any:
    pairs = [(x, pick(batch, place)) for (x, _), batch in zip(obs.subject.batches, given, strict=True)]

    def loss(output: Tensor, target: Tensor, passed: Passed | None) -> Any:
        number = 0 if passed is None else passed.number
        if passed is not None and same(target, pairs[number][1]):
            return loss_of_pass(passed)
        return step.loss_of(output, with_part(fresh(given[number]), place, target), number)

    subject = of_one(obs.subject, lambda output: output, pairs, loss)
    assert subject.form is not None
    return replace(subject, form=replace(subject.form, outer=step.source))
