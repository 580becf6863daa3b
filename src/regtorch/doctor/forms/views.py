"""Separate the outputs and inputs of a setup, so that what is measured on one tensor is measured on each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.counted import counted
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.forms.batches import TARGETS
from regtorch.doctor.forms.inner_loss import inner_loss
from regtorch.doctor.forms.losses import Loss, SumOfLosses, target_of
from regtorch.doctor.forms.trees import Path, name_of, pick, tensors_of, with_part
from regtorch.doctor.observe.calls import calls, hooked, with_weights
from regtorch.doctor.observe.form import Form, Views
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.pairs import Passed, fresh, kept
from regtorch.doctor.observe.restored import forward_only, seed
from regtorch.doctor.observe.subject import Subject

__all__ = ["Whole", "by_input", "left_together", "of_one", "output_names", "separated"]

Run = Callable[[Any, int], Any]


@dataclass
class _Kept:
    """The last pass: its loss is exact, whatever a measurement computes from an output alone."""

    output: Any = None
    passed: Passed | None = None

    def of(self, output: Any) -> Passed | None:
        """The pass that gave an output, if it is the last one and has a gradient."""
        return self.passed if output is self.output and output.requires_grad else None


class _OfInput(Observed):
    """A setup of which one input varies."""

    @cached_property
    def first_layer(self) -> nn.Module | None:
        """The first module with weights that this input reaches."""
        owners = with_weights(calls(self.subject, training=False))
        owners = [m for m in owners if not any(part in owners for part in m.modules() if part is not m)]
        x = self.subject.batches[0][0]
        moved = replace(self.subject, batches=[(x * 2 + 1, self.subject.batches[0][1])])
        before, after = _entering(self.subject, owners), _entering(moved, owners)
        return next((m for m in owners if m in before and m in after and not torch.equal(before[m], after[m])), None)


def _entering(subject: Subject, owners: Sequence[nn.Module]) -> dict[nn.Module, Tensor]:
    """The first inputs of some modules."""
    found: dict[nn.Module, Tensor] = {}

    def enter(_: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if module in owners and module not in found and arguments and (x := kept(arguments[0])) is not None:
            found[module] = x

    with forward_only(subject.model), hooked(subject.model, enter, lambda *_: None):
        seed(0)
        subject.model.eval()
        subject.output(0)
    return found


def by_input(obs: Observed) -> dict[str, Observed]:
    """The setup with each of several inputs that are floating-point numbers, by name."""
    base = obs.subject
    paths = [path for path, x in tensors_of(base.batches[0][0]).items() if path and _varies(path, x)]
    found: dict[str, Observed] = {}
    for path in paths:
        try:
            batches = [(pick(x, path), y) for x, y in base.batches]
        except (KeyError, IndexError, TypeError):
            continue
        if all(isinstance(x, Tensor) for x, _ in batches):
            found[name_of(path)] = _OfInput(_with_input(base, path, batches), obs.steps)
    return found


def _varies(path: Path, x: Tensor) -> bool:
    """Whether an input is numbers, and neither the labels of a net that computes its loss nor a mask of 0 and 1."""
    if path[0] in TARGETS or not x.is_floating_point() or not x.ndim or x.layout is not torch.strided:
        return False
    return not bool(((x == 0) | (x == 1)).all())


def _with_input(base: Subject, path: Path, batches: Sequence[Any]) -> Subject:
    run: Run = (lambda x, _: base.model(x)) if base.form is None else base.form.run
    inputs = [x for x, _ in base.batches]

    def with_one(x: Any, number: int) -> Any:
        return run(with_part(fresh(inputs[number]), path, x), number)

    form = base.form or Form(run, lambda obs: Views(obs))
    return replace(base, batches=batches, form=replace(form, run=with_one))


def of_one(
    base: Subject,
    picked: Callable[[Any], Any],
    batches: Sequence[Any],
    loss: Callable[[Any, Tensor, Passed | None], Any],
) -> Subject:
    """The setup with one of its outputs and one target.

    Args:
        base: the setup.
        picked: that output of all.
        batches: inputs and that target.
        loss: of an output, a target and the pass that gave them, if that is known.
    """
    assert base.form is not None
    run, kept = base.form.run, _Kept()

    def output(x: Any, number: int) -> Any:
        given = run(x, number)
        kept.passed = given if isinstance(given, Passed) else Passed(given, number)
        kept.output = picked(kept.passed.outputs)
        return kept.output

    return replace(
        base,
        batches=batches,
        loss_fn=lambda output, target: loss(output, target, kept.of(output)),
        form=replace(base.form, run=output, several=True),
    )


def left_together(names: Sequence[str], why: str, change: str) -> Finding:
    """The note that outputs were not examined one by one."""
    return Finding(
        "outputs_together",
        listed(names) or "outputs",
        "info",
        {"outputs": len(names)},
        why=f"{why}: whether the head and the targets suit the loss was not examined.",
        change=change,
    )


@dataclass(frozen=True)
class Whole:
    """What a user gave, of which views are made.

    Attributes:
        loss: of outputs, targets and, if there are any, weights.
        targets: of each batch, in its own form.
        weights: of each batch's samples.
    """

    loss: Loss
    targets: Sequence[Any]
    weights: Sequence[Tensor | None]

    def total(self, outputs: Any, target: Any, weight: Tensor | None) -> Any:
        """The loss."""
        return self.loss(outputs, target) if weight is None else self.loss(outputs, target, weight)


def separated(obs: Observed, given: Whole) -> Views:
    """The views of a setup whose loss is a function, or one for each output."""
    output = obs.outputs[0]
    outputs = output.outputs if isinstance(output, Passed) else output
    if isinstance(outputs, Tensor) and not isinstance(output, Passed):
        return Views(obs, inputs=by_input(obs), inner=inner_loss(obs))
    if isinstance(given.loss, SumOfLosses):
        return Views(obs, _by_loss(obs, given, outputs), by_input(obs))
    used = _used_outputs(obs, given, outputs)
    wanted = None if used is None else _used_targets(obs, given, outputs)
    if used is None or wanted is None:  # the loss fails, which the steps will tell
        return Views(obs, inputs=by_input(obs))
    if len(used) != 1 or len(wanted) != 1:
        what = f"{counted(len(used), 'output')} and {counted(len(wanted), 'target')} together"
        change = "Nothing; to have each output examined pass a loss for each, `loss_fn={name: loss, …}`."
        left = left_together(output_names(outputs), f"The loss takes {what}", change)
        return Views(obs, inputs=by_input(obs), left=left)
    alone = Observed(_alone(obs.subject, given, outputs, used[0], wanted[0]), obs.steps)
    return Views(alone, inputs=by_input(alone))


def output_names(outputs: Any) -> list[str]:
    """The names of the tensors in outputs."""
    return [name_of(path) for path in tensors_of(outputs)]


def _alone(base: Subject, given: Whole, outputs: Any, used: Path, wanted: Path) -> Subject:
    """The setup with the only output and the only target that its loss depends on."""
    others, others_of_target = _detached(outputs), given.targets[0]

    def loss(output: Any, target: Tensor, passed: Passed | None) -> Any:
        if passed is not None:
            whole, weight = given.targets[passed.number], given.weights[passed.number]
            return given.total(passed.outputs, with_part(fresh(whole), wanted, target), weight)
        weight = None if given.weights[0] is None else torch.ones(len(target), device=target.device)
        made = with_part(others_of_target, wanted, target)
        return given.total(with_part(others, used, output), made, weight)

    targets = [pick(y, wanted) for y in given.targets]
    pairs = [(x, y) for (x, _), y in zip(base.batches, targets, strict=True)]
    return of_one(base, lambda outputs: pick(outputs, used), pairs, loss)


def _by_loss(obs: Observed, given: Whole, outputs: Any) -> dict[str, Observed]:
    """The setup with each output that has a loss of its own."""
    assert isinstance(given.loss, SumOfLosses)
    found: dict[str, Observed] = {}
    for path, own in given.loss.parts.items():
        try:
            output, targets = pick(outputs, path), [target_of(y, path) for y in given.targets]
        except (LookupError, TypeError, ValueError):
            continue
        if isinstance(output, Tensor) and all(isinstance(y, Tensor) for y in targets):
            pairs = [(x, y) for (x, _), y in zip(obs.subject.batches, targets, strict=True)]
            found[name_of(path)] = Observed(_of_output(obs.subject, path, pairs, own), obs.steps)
    return found


def _of_output(base: Subject, path: Path, pairs: Sequence[Any], own: Loss) -> Subject:
    return of_one(base, lambda outputs: pick(outputs, path), pairs, lambda output, target, _: own(output, target))


def _detached(outputs: Any) -> Any:
    for path, leaf in tensors_of(outputs).items():
        outputs = with_part(outputs, path, leaf.detach())
    return outputs


def _used_outputs(obs: Observed, given: Whole, outputs: Any) -> list[Path] | None:
    """The outputs that have a gradient of the loss; None if there are none that are tensors, or it fails."""
    paths = [path for path, leaf in tensors_of(outputs).items() if leaf.is_floating_point()]
    copies = {path: pick(outputs, path).detach().clone().requires_grad_() for path in paths}
    for path, leaf in copies.items():
        outputs = with_part(outputs, path, leaf)
    with obs.subject.restored():
        try:
            loss = given.total(outputs, fresh(given.targets[0]), given.weights[0])
            grads = torch.autograd.grad(loss.sum(), list(copies.values()), allow_unused=True)
        except Exception:
            return None
    return [path for path, grad in zip(paths, grads, strict=True) if grad is not None and bool(grad.any())]


def _used_targets(obs: Observed, given: Whole, outputs: Any) -> list[Path] | None:
    """The targets that change the loss when they are assigned to other samples."""
    target, outputs = given.targets[0], _detached(outputs)
    paths = list(tensors_of(target))
    if len(paths) == 1:
        return paths

    def cost(changed: Any) -> float | None:
        seed(0)
        try:
            return float(given.total(fresh(outputs), fresh(changed), given.weights[0]))
        except Exception:  # such as of labels that must not be 0
            return None

    with obs.subject.forward_only():
        before = cost(target)
        if before is None:
            return None
        return [p for p in paths if cost(with_part(target, p, _reversed(pick(target, p)))) != before]


def _reversed(target: Tensor) -> Tensor:
    """The targets in the opposite order, and if that is the same, zeros."""
    other = target.flip(0) if target.ndim else target
    return torch.zeros_like(target) if torch.equal(other, target) else other
