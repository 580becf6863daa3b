"""A learning rate that moves nothing, or so much that it breaks what was learnt, told by steps that are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import floor, inf, isfinite, log10
from typing import Literal, NamedTuple

from regtorch.doctor.borne import comes_as_low
from regtorch.doctor.exam import Exam
from regtorch.doctor.finding import Finding, listed, told
from regtorch.doctor.lower import LARGE, lower_rate, medians_of
from regtorch.doctor.optimizer_copy import number, rate_of
from regtorch.doctor.trial import Trial, trial
from regtorch.doctor.tried import tried
from regtorch.doctor.uses import RELUS, Use

__all__ = ["find", "still"]

_GOOD = 1e-3  # the update's norm over the weight's that training usually goes well with
_TINY, _SMALL = 1e-6, 1e-5
_TRIES, _TRIED = 4, 4  # of a rate that would suit, and their steps
_STRUCK = 0.9  # share of a layer's units
_POWERS = 6  # of ten, by which a strength is lowered
_RISE = 10.0  # of a batch's loss by a step that was made to lower it


def find(exam: Exam) -> Iterator[Finding]:
    """Findings about the optimizer's rate but `still`; none where there is no optimizer."""
    if exam.patient.optimizer is None:
        return
    if exam.with_rules.diverged:
        yield _diverges(exam)
        return
    medians = medians_of(exam.without_penalties)
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
    medians = medians_of(exam.without_penalties)
    name, largest = max(medians.items(), key=lambda item: item[1], default=("", inf))
    if not largest < _SMALL:  # NaN is of an infinite rate
        return
    lr = _rate(exam)
    change, override = _fitting(exam, max, largest)
    yield Finding(
        "rate_too_small",
        "optimizer.lr",
        "severe" if largest < _TINY else "warning",
        {"largest_update_over_weight": largest, **({} if lr is None else {"lr": lr})},
        why=f"With {_said(lr)} no weight moves by more than {largest:.1e} of its norm a step ({name} moves the most): "
        f"about {_GOOD:g} is usual.",
        change=change
        or "Take a larger learning rate, or an optimizer that divides by the gradient's size, as Adam does.",
        override=override,
        blame=_GOOD / max(largest, 1e-12),
    )


def _said(lr: float | None) -> str:
    return "the optimizer" if lr is None else f"a learning rate of {lr:g}"


# Divergence


def _diverges(exam: Exam) -> Finding:
    steps = len(exam.with_rules.steps)
    alone = exam.alone.diverged
    decay = not alone and exam.without_penalties.diverged
    override = ""
    if not steps:
        why = "The loss is not finite before the first step: the rate is not to blame."
        where, change = "loss", "Look for numbers that are not finite in inputs, targets and weights."
    elif alone:
        why = f"The loss stops being finite after {steps} steps, without the penalties too: the steps are too large."
        ratios = medians_of(exam.alone, 1).values()
        to, override = lower_rate(exam, max(ratios, default=0.0) / LARGE)
        where, change = "optimizer.lr", f"Lower the learning rate{to}, and look at the scale of the inputs and targets."
    elif decay:
        why = f"The loss stops being finite after {steps} steps, and does not without the optimizer's weight decay: a "
        why += "step takes the learning rate times the decay of a weight, which has to stay far below 1."
        where = f"optimizer.weight_decay of {listed(list(exam.patient.decays))}"
        change, override = _lower_strength(exam, "weight_decay")
    else:
        why = f"The loss stops being finite after {steps} steps, and does not without the penalties: the learning rate "
        why += "times the penalty's factor has to stay far below 1."
        where = listed([*exam.patient.penalised] or ["activities"])
        change, override = _lower_strength(exam, "strength")
    numbers = {"steps": steps, "without_penalties": float(alone)}
    return Finding("diverges", where, "severe", numbers, why=why, change=change, override=override, blame=1e6)


def _lower_strength(exam: Exam, what: Literal["weight_decay", "strength"]) -> tuple[str, str]:
    """Powers of ten lower, until the loss stays finite and falls as it does without."""
    for tens in range(1, _POWERS + 1):
        part = 10.0**-tens
        if what == "strength":
            watched, free = trial(exam.patient, exam.steps, penalties=part), exam.without_penalties
        else:
            watched, free = trial(exam.patient, exam.steps, decay=part), exam.alone
        if not watched.diverged and comes_as_low(watched, free):
            values = {decay.value for decay in exam.patient.decays.values()} if what == "weight_decay" else set()
            new = f"{values.pop() * part:.0e}" if len(values) == 1 else ""
            named = f"a weight_decay of {new}" if new else f"a {what} that is {10**tens:,} times smaller"
            said = f"tried: in {exam.steps} steps the task's loss comes to {watched.last_task_loss:.3g}"
            return f"Take {named} ({said}).", f"optimizer.weight_decay={new}" if new else ""
    return f"Take a {what} that is many times smaller, or leave it out.", ""


# The steps' size


def _fitting(exam: Exam, pick: Callable[[Iterable[float]], float], now: float) -> tuple[str, str]:
    """The rate that brings the ratio that `pick` takes near the usual one, as an advice, and its override.

    It is found by trying: what a rate of nearly 0 moves is lost in rounding, and ratios need not follow the rate.
    """
    factor = 1.0
    for _ in range(_TRIES):
        if not (0 < now < inf) or 0.5 < now / _GOOD < 2:
            break
        factor *= _GOOD / now
        now = pick(medians_of(trial(exam.patient, _TRIED, penalties=False, factor=factor)).values())
    lr = _rate(exam)
    if not lr or not 0.1 < now / _GOOD < 10 or not 0 < lr * factor < inf:
        return "", ""
    new = _round(lr * factor)
    found = tried(exam.patient, factor=new / lr, own_rate=True)
    return (f"Take a learning rate of {new:g} ({found.said}).", f"optimizer.lr={new:g}") if found.learns else ("", "")


def _too_large(exam: Exam) -> Iterator[Finding]:
    # Of the first steps: later the weights themselves have become too large. What starts at 0 has no scale.
    at_first = medians_of(exam.without_penalties, _TRIED)
    if exam.patient.decays and min((ratio for ratio in at_first.values() if ratio), default=0.0) > LARGE:
        at_first = medians_of(exam.alone, _TRIED)  # what a decay takes is not the rate's
    at_first = {name: ratio for name, ratio in at_first.items() if name not in exam.without_penalties.from_zero}
    smallest = min((ratio for ratio in at_first.values() if ratio), default=0.0)
    if smallest > LARGE:
        lr = _rate(exam)
        quarter = max(1, exam.steps // 4)
        first, last = (exam.alone.mean_task_loss(part) for part in (slice(1), slice(-quarter, None)))
        change, override = _fitting(exam, min, smallest)
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
            change=change or "Take a smaller learning rate.",
            override=override,
            blame=smallest / _GOOD,
        )


def _still_groups(exam: Exam, medians: Mapping[str, float]) -> Iterator[Finding]:
    """Parameter groups that stand still beside others that move."""
    assert exam.patient.optimizer is not None
    names = {id(p): name for name, p in exam.patient.trained.items()}
    for index, group in enumerate(exam.patient.optimizer.param_groups):
        own = [name for p in group["params"] if (name := names.get(id(p), "")) in medians]
        largest = max((medians[name] for name in own), default=inf)
        if largest < _TINY:
            lr = rate_of(group)
            yield Finding(
                "rate_too_small",
                listed(own),
                "warning",
                {"largest_update_over_weight": largest, "lr": lr, "group": index},
                why=f"Parameter group {index} has a learning rate of {lr:g}: none of its weights moves by more than "
                f"{largest:.1e} of its norm a step, while others move by {max(medians.values()):.1e}.",
                change="Take a larger rate for the group, or freeze its weights where they are not to be trained.",
                blame=1.0,
            )


def _scheduled(exam: Exam) -> Iterator[Finding]:
    groups = exam.patient.optimizer.param_groups if exam.patient.optimizer else []
    now, watched = ([rate(group) for group in groups] for rate in (lambda g: number(g.get("lr")), rate_of))
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
    return rate if len(rates) == 1 and isfinite(rate := rates.pop()) else None


def _round(value: float) -> float:
    """To the nearest 1, 2 or 5 times a power of 10."""
    power = floor(log10(value))
    rates = (digit * 10.0**p for p in (power, power + 1) for digit in (1, 2, 5))
    return min(rates, key=lambda rate: abs(log10(rate / value)))


# The first step


def _first_step(exam: Exam) -> Iterator[Finding]:
    shown = _shown(exam.with_rules)
    if shown is not None and exam.patient.decays and _breaks(shown):
        shown = _shown(exam.alone) if exam.alone.looks else shown
    if shown is None or not _breaks(shown):
        return
    name, most, rise, before, after = shown
    if most > _STRUCK:
        why = (
            f"One step makes {most:.0%} of the units in front of a ReLU negative for the whole batch: they put out 0, "
            "get no gradient, and stay so."
        )
    else:
        why = f"One step takes the loss of the batch that it was made for from {told(before)} to {told(after)}"
        why += f", and turns {most:.0%} of the units in front of a ReLU off." if name else "."
    to, override = lower_rate(exam, 0.0, lambda found: found.watched is None or not _breaks(_shown(found.watched)))
    yield Finding(
        "first_step_too_large",
        name if most > _STRUCK else "optimizer.lr",
        "severe",
        {"loss_before": before, "loss_after": after, "units_struck": most},
        why=why,
        change=f"Lower the learning rate{to}; or standardise the inputs, or put batch norm before the activations.",
        override=override,
        blame=max(most, rise),
    )


class _Shown(NamedTuple):
    """What the first step did."""

    layer: str
    struck: float
    rise: float
    before: float
    after: float


def _shown(watched: Trial) -> _Shown | None:
    if len(watched.looks) < 2:
        return None
    before, after = watched.looks[:2]
    struck = {
        u.layer: after.uses[key].struck_since(u) for key, u in before.uses.items() if _is_relu(after.uses.get(key))
    }
    name = max(struck, key=lambda n: struck[n], default="")
    rise = after.loss / before.loss if before.loss > 0 else 0.0
    return _Shown(name, struck.get(name, 0.0), rise, before.loss, after.loss)


def _breaks(shown: _Shown | None) -> bool:
    return shown is not None and (shown.struck > _STRUCK or shown.rise > _RISE)


def _is_relu(use: Use | None) -> bool:
    return use is not None and use.kind in RELUS
