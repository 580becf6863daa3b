"""A learning rate that moves nothing, or so much that it breaks what was learnt, told by steps that are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import floor, inf, log10
from statistics import median

from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed
from regtorch.doctor.optimizer_copy import rate_of
from regtorch.doctor.trial import Trial, trial
from regtorch.doctor.uses import RELUS, Use

__all__ = ["find", "still"]

_GOOD = 1e-3  # the update's norm over the weight's that training usually goes well with
_TINY, _SMALL, _LARGE = 1e-6, 1e-5, 0.3
_TRIES, _TRIED = 4, 4  # of a rate that would suit, and their steps
_STRUCK = 0.9  # share of a layer's units
_RISE = 10.0  # of a batch's loss by a step that was made to lower it


def find(exam: Exam) -> Iterator[Finding]:
    """Findings about the optimizer's rate but `still`; none where there is no optimizer."""
    if exam.patient.optimizer is None:
        return
    if exam.with_rules.diverged:
        yield _diverges(exam)
        return
    medians = _medians(exam.without_penalties)
    if medians and max(medians.values()) >= _SMALL:
        yield from _still_groups(exam, medians)
    if medians:
        yield from _too_large(exam)
    yield from _first_step(exam)
    yield from _scheduled(exam)


def still(exam: Exam) -> Iterator[Finding]:
    """`rate_too_small` where no weight moves; none where there is no optimizer."""
    if exam.patient.optimizer is None or exam.with_rules.diverged:
        return
    medians = _medians(exam.without_penalties)
    name, largest = max(medians.items(), key=lambda item: item[1], default=("", inf))
    if largest >= _SMALL:
        return
    lr = _rate(exam)
    yield Finding(
        "rate_too_small",
        "optimizer.lr",
        "severe" if largest < _TINY else "warning",
        {"largest_update_over_weight": largest, **({} if lr is None else {"lr": lr})},
        why=f"With {_said(lr)} no weight moves by more than {largest:.1e} of its norm a step ({name} moves the most): "
        f"about {_GOOD:g} is usual.",
        change="Take a larger learning rate, or an optimizer that divides by the gradient's size, as Adam does.",
        override=_fitting(exam, max, largest),
        blame=_GOOD / max(largest, 1e-12),
    )


def _said(lr: float | None) -> str:
    return "the optimizer" if lr is None else f"a learning rate of {lr:g}"


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
    where = "optimizer.lr" if alone and steps else listed(list(exam.patient.penalised)) if steps else "loss"
    return Finding("diverges", where, "severe", numbers, why=why, change=change, override=override, blame=1e6)


# The steps' size


def _medians(watched: Trial, steps: int | None = None) -> dict[str, float]:
    """The median over steps of ‖update‖/‖weight‖, of every weight that has one."""
    ratios: dict[str, list[float]] = {}
    for step in watched.steps[:steps]:
        for name, ratio in step.updates.items():
            ratios.setdefault(name, []).append(ratio)
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
        now = pick(_medians(trial(exam.patient, _TRIED, penalties=False, factor=factor)).values())
    return _override(exam, factor) if 0.1 < now / _GOOD < 10 else ""


def _too_large(exam: Exam) -> Iterator[Finding]:
    # Of the first steps: later the weights themselves have become too large. What starts at 0 has no scale.
    at_first = _medians(exam.without_penalties, _TRIED)
    at_first = {name: ratio for name, ratio in at_first.items() if name not in exam.without_penalties.from_zero}
    smallest = min((ratio for ratio in at_first.values() if ratio), default=0.0)
    if smallest > _LARGE:
        lr = _rate(exam)
        quarter = max(1, exam.steps // 4)
        first, last = (exam.without_penalties.mean_task_loss(part) for part in (slice(1), slice(-quarter, None)))
        yield Finding(
            "rate_too_large",
            "optimizer.lr",
            "severe" if last > 0.98 * first else "warning",
            {
                "smallest_update_over_weight": smallest,
                "loss_at_first": first,
                "loss_at_last": last,
                **({} if lr is None else {"lr": lr}),
            },
            why=f"With {_said(lr)} every weight matrix moves by at least {smallest:.2g} of its norm in a step: nothing "
            "that was learnt lasts.",
            change="Take a smaller learning rate.",
            override=_fitting(exam, min, smallest),
            blame=smallest / _GOOD,
        )


def _still_groups(exam: Exam, medians: Mapping[str, float]) -> Iterator[Finding]:
    """Parameter groups that stand still beside others that move."""
    assert exam.patient.optimizer is not None
    names = {id(p): name for name, p in exam.patient.trained.items()}
    for number, group in enumerate(exam.patient.optimizer.param_groups):
        own = [name for p in group["params"] if (name := names.get(id(p), "")) in medians]
        largest = max((medians[name] for name in own), default=inf)
        if largest < _TINY:
            lr = rate_of(group)
            yield Finding(
                "rate_too_small",
                listed(own),
                "warning",
                {"largest_update_over_weight": largest, "lr": lr, "group": number},
                why=f"Parameter group {number} has a learning rate of {lr:g}: none of its weights moves by more than "
                f"{largest:.1e} of its norm a step, while others move by {max(medians.values()):.1e}.",
                change="Take a larger rate for the group, or freeze its weights where they are not to be trained.",
                blame=1.0,
            )


def _scheduled(exam: Exam) -> Iterator[Finding]:
    groups = exam.patient.optimizer.param_groups if exam.patient.optimizer else []
    now, watched = ([rate(group) for group in groups] for rate in (lambda g: float(g.get("lr", 0.0)), rate_of))
    if now != watched:
        yield Finding(
            "rate_scheduled",
            "optimizer.lr",
            "info",
            {"lr": max(now), "lr_watched": max(watched)},
            why=f"A schedule has the learning rate at {max(now):g} now, as in a warm-up; the steps were watched at "
            f"{max(watched):g}, which it was built with.",
            change="Nothing, where the schedule raises the rate again.",
        )


def _rate(exam: Exam) -> float | None:
    """The learning rate, where it is one."""
    groups = exam.patient.optimizer.param_groups if exam.patient.optimizer else []
    rates = {rate_of(group) for group in groups if "lr" in group}
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


def _first_step(exam: Exam) -> Iterator[Finding]:
    if len(exam.with_rules.looks) < 2:
        return
    before, after = exam.with_rules.looks[:2]
    struck = {
        u.layer: after.uses[key].struck_since(u) for key, u in before.uses.items() if _is_relu(after.uses.get(key))
    }
    name = max(struck, key=lambda n: struck[n], default="")
    rise = after.loss / before.loss if before.loss > 0 else 0.0
    most = struck.get(name, 0.0)
    if most <= _STRUCK and rise <= _RISE:
        return
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
        {"loss_before": before.loss, "loss_after": after.loss, "units_struck": most},
        why=why,
        change="Take a smaller learning rate, standardise the inputs, or put batch norm in front of the activations.",
        override=_override(exam, 0.1),
        blame=max(most, rise),
    )


def _is_relu(use: Use | None) -> bool:
    return use is not None and use.kind in RELUS
