"""`rt.watch`: looks at a training while it runs, and a word when something turns bad."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from regtorch.checks import integer, share
from regtorch.counted import counted
from regtorch.doctor.along.numbers import is_number
from regtorch.doctor.along.passing import Passing
from regtorch.doctor.along.signs.scaling import Scaling
from regtorch.doctor.along.stepping import Stepping
from regtorch.doctor.causes import SEVERITIES, title_of
from regtorch.doctor.finding import Finding, Findings, in_order
from regtorch.doctor.observe.pairs import one_line
from regtorch.steps.wrappers import bare, owned_by, runs_hooks

__all__ = ["DoctorWarning", "Watching", "watch"]

_OF_STEPS, _OF_PASSES = 0.6, 0.4  # of the time for looks
_LIBRARIES = {"regtorch", "torch", "contextlib", "lightning", "pytorch_lightning", "transformers", "accelerate"}


class DoctorWarning(UserWarning):
    """Something turned bad in a training that `rt.watch` or a callback watches.

    Example:
        >>> import warnings, regtorch as rt
        >>> warnings.filterwarnings("error", category=rt.DoctorWarning)  # end the training at the first one
        >>> warnings.filterwarnings("default", category=rt.DoctorWarning)
    """


class Watching:
    """A training under watch, returned by `rt.watch`; as a context manager it ends the watch.

    Attributes:
        unwatched: what cannot be watched here, in words.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        scaler: Any,
        every: int | None,
        budget: float,
        on_finding: Callable[[Finding], object] | None,
    ) -> None:
        self.unwatched: tuple[str, ...] = ()
        self._model, self._optimizers, self._on_finding = model, optimizers, on_finding
        self._failed: dict[str, Finding] = {}
        self._passing = Passing(model, _OF_PASSES, every, self._guard)
        if self._passing.why_not:
            self.unwatched = (self._passing.why_not,)
        scales = scaler is not None and scaler.is_enabled()
        self._scaling = Scaling(scaler) if scales else None
        self._counting = model.register_forward_hook(self._passed) if scales else None
        self._stepping = [
            Stepping(
                model,
                optimizer,
                budget,
                _OF_STEPS / len(optimizers),
                every,
                unowned=self._unowned,
                guard=self._guard,
                began=self._began,
                ended=self._ended,
            )
            for optimizer in optimizers
        ]

    @property
    def findings(self) -> Findings:
        """All findings so far, the severe ones first, and what began first before what followed.

        "step" in their numbers is the look that showed them first.
        """
        courses = [course for stepping in self._stepping for course in stepping.courses]
        courses += [self._passing.course, *([self._scaling.course] if self._scaling else [])]
        found = in_order([*(f for course in courses for f in course.findings.values()), *self._failed.values()])
        return Findings(sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.numbers.get("step", inf))))

    @property
    def steps(self) -> int:
        """The steps of all optimizers, without those of a compiled `optimizer.step`, which runs no hooks."""
        return sum(stepping.steps for stepping in self._stepping)

    def tell(self, loss: Tensor | float | None = None) -> None:
        """Tell that a batch was trained on, and its loss.

        Not needed; it lets the watch see a loss that is not finite, and a GradScaler that makes no step where the net
        is not called as a whole. The loss is only read at looks, so it costs no synchronisation.

        Raises:
            TypeError: the loss is not one real number.
        """
        if loss is not None:
            if not is_number(loss):
                what = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
                raise TypeError(f"tell: loss must be one real number, received {what}; take the mean over the batch")
            for stepping in self._stepping:
                stepping.loss = loss.detach() if isinstance(loss, Tensor) else loss
        if self._scaling is not None and self._counting is None:
            self._report(self._scaling.batch())

    def remove(self) -> None:
        """End the watch: no hook stays. Findings stay; idempotent."""
        for stepping in self._stepping:
            stepping.remove()
        self._passing.remove()
        if self._counting is not None:
            self._counting.remove()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        kinds = ", ".join(type(optimizer).__name__ for optimizer in self._optimizers)
        unwatched = "".join(f"; {why}" for why in self.unwatched)
        done = f"{counted(self.steps, 'step')}, {counted(len(self.findings), 'finding')}"
        return f"Watching({type(self._model).__name__}, {kinds}: {done}{unwatched})"

    def count_batches_by_tell(self) -> None:
        """Let `tell` count the batches instead of the calls of the model."""
        if self._counting is not None:
            self._counting.remove()
            self._counting = None

    def _passed(self, module: nn.Module, *_: Any) -> None:
        if module.training and self._scaling is not None:
            self._report(self._scaling.batch())

    def _began(self) -> None:
        if self._scaling is not None:
            self._report(self._scaling.stepped())

    def _ended(self, stepping: Stepping, news: Iterable[Finding]) -> bool:
        """After every step; whether passes were looked at."""
        first = stepping is self._stepping[0]
        of_passes = self._passing.after_step(stepping.steps, stepping.clock.for_looks, may_open=first)
        self._report([*news, *(of_passes or ())])
        return of_passes is not None

    def _unowned(self, names: Mapping[int, str]) -> Mapping[str, nn.Parameter]:
        owned = {key for optimizer in self._optimizers for key in owned_by(optimizer)}
        return {
            names[id(p)]: p
            for p in self._model.parameters()
            if p.requires_grad and id(p) not in owned and id(p) in names
        }

    def _guard(self, what: str, read: Callable[[], object]) -> None:
        """Read; an error, which must not end a training, becomes a finding and ends this kind of look."""
        if what in self._failed:
            return
        try:
            read()
        except Exception as error:  # unforeseen
            self._failed[what] = Finding(
                "measurement_failed",
                what,
                "info",
                why=f"The look at {what} failed here: {one_line(error)}.",
                change="Please report it with your setup; the other findings are valid.",
            )

    def _report(self, news: Iterable[Finding]) -> None:
        for finding in news:
            if self._on_finding is not None:
                self._on_finding(finding)
            elif finding.severity != "info":
                warnings.warn(told(finding), DoctorWarning, stacklevel=_level_of_the_loop())


def _level_of_the_loop() -> int:
    """The stack level, seen from the caller, of the training loop: the innermost code that is no library's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    return level


def told(finding: Finding) -> str:
    """A finding in one paragraph."""
    return f"{title_of(finding.cause)} ({finding.where}). {finding.why} {finding.change}"


def watch(
    model: nn.Module,
    optimizer: Any,
    *,
    scaler: Any = None,
    every: int | None = None,
    budget: float = 0.02,
    on_finding: Callable[[Finding], object] | None = None,
) -> Watching:
    """Watch a training, in any loop, and say when something turns bad; say nothing otherwise.

    Looks at some of the steps: the gradient of attached penalties against the task's, ‖update‖/‖weight‖, norms that
    collapse, gradients that are missing, vanish or are not finite, clipping of every step, constraints that take steps
    back, dead and saturated units, running statistics against the batches', layers left in evaluation mode, weights
    that no optimizer moves, and a GradScaler's scale. It changes nothing: weights, random numbers and the optimizer's
    state stay the same to the bit. What turns bad is told once, by a `DoctorWarning` or `on_finding`, and kept in
    `.findings`, with the step of the first look that shows it under "step", that of the last look before under
    "healthy_until", and that at which it had gone under "recovered".

    In a compiled net weights and gradients are watched, activations are not; a compiled `optimizer.step` is not
    watched at all, as it runs no hooks.

    Args:
        model: the net.
        optimizer: the optimizer that trains it, or a wrapper around it; or a list of several.
        scaler: the `torch.amp.GradScaler` of the training, if there is one.
        every: look at every n-th step; None looks as often as the budget allows.
        budget: the share of the training's time that looks may cost, which they measure themselves.
        on_finding: called with each finding instead of the warning, also with those of severity "info", which are not
            warned of. An error that it raises ends the training.

    Returns:
        A handle with `findings`, `tell(loss)` and `remove()`; also a context manager.

    Raises:
        TypeError: an argument has the wrong type, or the optimizer runs no step hooks.
        ValueError: an optimizer owns no parameter of the model, or a number is out of range.

    Example:
        >>> import torch, regtorch as rt
        >>> net = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> x = torch.randn(64, 4)
        >>> with rt.watch(net, optimizer, every=5, on_finding=lambda finding: None) as watching:
        ...     for step in range(20):
        ...         if step == 12:
        ...             optimizer.param_groups[0]["lr"] = 1e30
        ...         optimizer.zero_grad()
        ...         (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
        ...         optimizer.step()
        >>> watching.findings[0].cause, watching.findings[0].numbers["step"]
        ('diverges', 15)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"watch: model must be a torch.nn.Module, received {type(model).__name__}")
    if on_finding is not None and not callable(on_finding):
        raise TypeError(f"watch: on_finding must be a function of a finding, received {on_finding!r}")
    if scaler is not None and not all(hasattr(scaler, name) for name in ("get_scale", "is_enabled")):
        raise TypeError(f"watch: scaler must be a torch.amp.GradScaler, received {type(scaler).__name__}")
    given = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
    if not given:
        raise ValueError("watch: optimizer must be an optimizer or a list of them, received an empty list")
    optimizers = [_checked(one, model) for one in given]
    every = None if every is None else integer("watch", "every", every)
    return Watching(model, optimizers, scaler, every, share("watch", "budget", budget), on_finding)


def _checked(optimizer: object, model: nn.Module) -> Optimizer:
    inner = bare(optimizer, "watch")
    name = type(inner).__name__
    if not runs_hooks(inner):
        raise TypeError(f"watch: this {name} has no step hooks; watch the optimizer that it wraps")
    if hasattr(inner, "fused_backward") or any(g.get("gradient_release") for g in inner.param_groups):
        raise TypeError(f"watch: this {name} steps inside backward, weight by weight, where no step can be looked at")
    if owned_by(inner).isdisjoint(id(p) for p in model.parameters()):
        raise ValueError(f"watch: this {name} owns none of the model's parameters; build it from this model")
    return inner
