"""A learning rate that moves nothing, or so much that it breaks what was learnt, told by steps that are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import floor, inf, log10
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding
from regtorch.doctor.patient import Patient
from regtorch.doctor.trial import trial
from regtorch.weights import modules_of

__all__ = ["find"]

_GOOD = 1e-3  # the update's norm over the weight's that training usually goes well with
_TINY, _SMALL, _LARGE = 1e-6, 1e-5, 0.3
_TRIES = 4  # of a rate that would suit
_STRUCK = 0.9  # share of a layer's units
_RISE = 10.0  # of a batch's loss by a step that was made to lower it
_RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}


def find(exam: Exam) -> Iterator[Finding]:
    """Findings about the optimizer's rate; none where there is no optimizer."""
    if exam.patient.optimizer is None:
        return
    if exam.with_rules.diverged:
        yield _diverges(exam)
        return
    yield from _size(exam)
    yield from _first_step(exam)


# Divergence


def _diverges(exam: Exam) -> Finding:
    steps = len(exam.with_rules.steps)
    alone = exam.without_penalties.diverged
    if not steps:
        why = "The loss is not finite before the first step: the rate is not to blame."
        change, override = "Look for numbers that are not finite in inputs, targets and weights.", ""
    elif alone:
        why = f"The loss stops being finite after {steps} steps, without the penalties too: the steps are too large."
        change = "Take a smaller learning rate, and look at the scale of the inputs and targets."
        override = _override(exam, 0.1)
    else:
        why = f"The loss stops being finite after {steps} steps, and does not without the penalties."
        change = "Take a smaller penalty factor: learning rate times factor has to stay far below 1."
        override = ""
    numbers = {"steps": steps, "without_penalties": float(alone)}
    where = "optimizer.lr" if alone and steps else "penalties" if steps else "loss"
    return Finding("diverges", where, "severe", numbers, why=why, change=change, override=override, blame=1e6)


# The steps' size


@dataclass(frozen=True)
class _Hooked(Patient):
    """The patient, whose optimizers call `before` and `after` around each step, their rate times `factor`."""

    before: Callable[[Optimizer], None] = field(kw_only=True)
    after: Callable[[Optimizer], None] = field(kw_only=True)
    factor: float = field(default=1.0, kw_only=True)

    @staticmethod
    def of(
        patient: Patient, before: Callable[[Optimizer], None], after: Callable[[Optimizer], None], factor: float = 1.0
    ) -> _Hooked:
        own = {part.name: getattr(patient, part.name) for part in fields(patient)}
        return _Hooked(**own, before=before, after=after, factor=factor)

    def optimizer_like(self) -> Optimizer:
        optimizer = super().optimizer_like()
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * self.factor
        optimizer.register_step_pre_hook(lambda own, *_: self.before(own))
        optimizer.register_step_post_hook(lambda own, *_: self.after(own))
        return optimizer


def _medians(exam: Exam, factor: float = 1.0) -> dict[str, float]:
    """The median over steps of ‖update‖/‖weight‖ of every weight of two or more dimensions that has a gradient.

    Args:
        exam: what is examined.
        factor: multiplies the learning rate.
    """
    matrices = {name: p for name, p in exam.patient.model.named_parameters() if p.ndim > 1 and p.requires_grad}
    old: dict[str, Tensor] = {}
    ratios: dict[str, list[float]] = {}

    def keep(optimizer: Optimizer) -> None:
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        # That a gradient is 0 is no matter of the rate.
        moving = {n: p for n, p in matrices.items() if id(p) in owned and p.grad is not None and bool(p.grad.any())}
        old.update({name: p.detach().clone() for name, p in moving.items()})

    def compare(_: Optimizer) -> None:
        while old:
            name, before = old.popitem()
            if norm := float(before.norm()):
                ratios.setdefault(name, []).append(float((matrices[name].detach() - before).norm()) / norm)

    trial(_Hooked.of(exam.patient, keep, compare, factor), exam.steps)
    return {name: median(values) for name, values in ratios.items()}


def _fitting(exam: Exam, pick: Callable[[Iterable[float]], float], now: float) -> str:
    """The override that brings the ratio that `pick` takes near the usual one.

    It is found by trying: what a rate of nearly 0 moves is lost in rounding, and ratios need not follow the rate.
    """
    factor = 1.0
    for _ in range(_TRIES):
        if not (0 < now < inf) or 0.5 < now / _GOOD < 2:
            break
        factor *= _GOOD / now
        now = pick(_medians(exam, factor).values())
    return _override(exam, factor) if 0.1 < now / _GOOD < 10 else ""


def _size(exam: Exam) -> Iterator[Finding]:
    medians = _medians(exam)
    if not medians:
        return
    name, largest = max(medians.items(), key=lambda item: item[1])
    lr = _rate(exam)
    rate = "the optimizer" if lr is None else f"a learning rate of {lr:g}"
    if largest < _SMALL:
        yield Finding(
            "rate_too_small",
            "optimizer.lr",
            "severe" if largest < _TINY else "warning",
            {"largest_update_over_weight": largest, **({} if lr is None else {"lr": lr})},
            why=f"With {rate} no weight moves by more than {largest:.1e} of its norm a step ({name} moves the most): "
            f"about {_GOOD:g} is usual.",
            change="Take a larger learning rate, or an optimizer that divides by the gradient's size, as Adam does.",
            override=_fitting(exam, max, largest),
            blame=_GOOD / max(largest, 1e-12),
        )
    smallest = min((ratio for ratio in medians.values() if ratio), default=0.0)
    if smallest > _LARGE:
        yield Finding(
            "rate_too_large",
            "optimizer.lr",
            "warning",
            {"smallest_update_over_weight": smallest, **({} if lr is None else {"lr": lr})},
            why=f"With {rate} every weight matrix moves by at least {smallest:.2g} of its norm in a step: nothing that "
            "was learnt lasts.",
            change="Take a smaller learning rate.",
            override=_fitting(exam, min, smallest),
            blame=smallest / _GOOD,
        )


def _rate(exam: Exam) -> float | None:
    """The learning rate, where it is one."""
    groups = exam.patient.optimizer.param_groups if exam.patient.optimizer else []
    rates = {float(group["lr"]) for group in groups if "lr" in group}
    return rates.pop() if len(rates) == 1 else None


def _override(exam: Exam, factor: float) -> str:
    lr = _rate(exam)
    return f"optimizer.lr={_round(lr * factor):g}" if lr else ""


def _round(value: float) -> float:
    """To the nearest 1, 2 or 5 times a power of 10."""
    power = floor(log10(value))
    rates = (digit * 10.0**p for p in (power, power + 1) for digit in (1, 2, 5))
    return min(rates, key=lambda rate: abs(log10(rate / value)))


# The first step


@dataclass(frozen=True)
class _Look:
    """At the first batch: the task's loss, and which units each ReLU lets through for some sample of it."""

    loss: float
    alive: Mapping[str, Tensor]


def _first_step(exam: Exam) -> Iterator[Finding]:
    looks = _around_first_step(exam.patient)
    if len(looks) < 2:
        return
    before, after = looks
    struck = {name: _struck(units, after.alive.get(name)) for name, units in before.alive.items()}
    name = max(struck, key=lambda n: struck[n], default="")
    rise = after.loss / before.loss if before.loss > 0 else 0.0
    most = struck.get(name, 0.0)
    if most <= _STRUCK and rise <= _RISE:
        return
    numbers = {"loss_before": before.loss, "loss_after": after.loss, "units_struck": most}
    if most > _STRUCK:
        why = (
            f"One step makes {most:.0%} of the units in front of a ReLU negative for the whole batch: they put out 0, "
            "get no gradient, and stay so."
        )
    else:
        why = f"One step takes the loss of the batch that it was made for from {before.loss:.3g} to {after.loss:.3g}"
        why += f", and turns {most:.0%} of the units in front of a ReLU off." if name else "."
    yield Finding(
        "first_step_too_large",
        name if most > _STRUCK else "optimizer.lr",
        "severe",
        numbers,
        why=why,
        change="Take a smaller learning rate, standardise the inputs, or put batch norm in front of the activations.",
        override=_override(exam, 0.1),
        blame=max(most, rise),
    )


def _struck(before: Tensor, after: Tensor | None) -> float:
    if after is None or after.shape != before.shape or not bool(before.any()):
        return 0.0
    return float((before & ~after).sum() / before.sum())


def _around_first_step(patient: Patient) -> list[_Look]:
    """Looks just before and just after the first step."""
    looks: list[_Look] = []

    def look(_: Optimizer) -> None:
        torch.manual_seed(0)  # the same dropout masks twice
        looks.append(_look(patient))

    trial(_Hooked.of(patient, look, look), 1)
    return looks


@torch.no_grad()
def _look(patient: Patient) -> _Look:
    relus = _ReLUs()

    def remember(name: str) -> Callable[..., None]:
        return lambda *_: setattr(relus, "last", name)

    x, y = patient.batches[0]
    leaves = {n: m for n, m in modules_of(patient.model).items() if not any(True for _ in m.children())}
    handles = [module.register_forward_hook(remember(name)) for name, module in leaves.items()]
    try:
        with relus:
            output = patient.model(x)
    finally:
        for handle in handles:
            handle.remove()
    return _Look(float(patient.task_loss(output, y)), relus.alive)


class _ReLUs(TorchFunctionMode):
    """Sees every ReLU's input, be it a module or a function, and names it by the layer that ran before it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self.alive: dict[str, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = args[0] if args else (kwargs or {}).get("input")
        if func in _RELUS and isinstance(given, Tensor) and given.ndim > 1 and self.last not in self.alive:
            # A unit is a channel of a picture, or a place in the last dimension otherwise.
            dim = 1 if given.ndim > 3 else given.ndim - 1
            self.alive[self.last] = (given > 0).movedim(dim, 0).flatten(1).any(1)
        return func(*args, **(kwargs or {}))
