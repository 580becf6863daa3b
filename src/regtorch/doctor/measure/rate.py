"""A learning rate that moves nothing, or so much that it breaks what was learnt, told by steps that are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import floor, inf, isfinite, log10
from typing import Literal, NamedTuple

from regtorch.doctor.finding import Finding, fmt, listed
from regtorch.doctor.measure.tolerated import comes_as_low
from regtorch.doctor.remedy import Kind, Remedy
from regtorch.doctor.watch.attempt import attempt
from regtorch.doctor.watch.lower_rate import LARGE, lower_rate, medians_of
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.optimizer_copy import number, rate_of
from regtorch.doctor.watch.steps import WatchedSteps, watch_steps
from regtorch.doctor.watch.uses import RELUS, Use

__all__ = ["find"]

_GOOD = 1e-3  # the update's norm over the weight's that training usually goes well with
_TINY, _SMALL = 1e-6, 1e-5
_TRIES, _TRIED = 4, 4  # of a rate that would suit, and their steps
_STRUCK = 0.9  # share of a layer's units
_POWERS = 6  # of ten, by which a strength is lowered
_RISE = 10.0  # of a batch's loss by a step that was made to lower it


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the optimizer's rate; none where there is no optimizer."""
    if obs.subject.optimizer is None:
        return
    if obs.with_rules.diverged:
        yield _diverges(obs)
        return
    yield from _still(obs)
    medians = medians_of(obs.without_penalties)
    if medians and max(medians.values()) >= _SMALL:
        yield from _still_groups(obs, medians)
    if medians:
        yield from _too_large(obs)
    yield from _first_step(obs)
    yield from _scheduled(obs)


def _still(obs: Observed) -> Iterator[Finding]:
    """`rate_too_small` where no weight moves."""
    medians = medians_of(obs.without_penalties)
    name, largest = max(medians.items(), key=lambda item: item[1], default=("", inf))
    if not largest < _SMALL:  # NaN is of an infinite rate
        return
    lr = _rate(obs)
    change, remedy = _fitting(obs, max, largest)
    yield Finding(
        "rate_too_small",
        "optimizer.lr",
        "severe" if largest < _TINY else "warning",
        {"largest_update_over_weight": largest, **({} if lr is None else {"lr": lr})},
        why=f"With {_said(lr)} no weight moves by more than {largest:.1e} of its norm a step ({name} moves the most): "
        f"about {_GOOD:g} is usual.",
        change=change
        or "Take a larger learning rate, or an optimizer that divides by the gradient's size, as Adam does.",
        remedy=remedy,
        blame=_GOOD / max(largest, 1e-12),
    )


def _said(lr: float | None) -> str:
    return "the optimizer" if lr is None else f"a learning rate of {lr:g}"


# Divergence


def _diverges(obs: Observed) -> Finding:
    steps = len(obs.with_rules.steps)
    alone = obs.alone.diverged
    decay = not alone and obs.without_penalties.diverged
    remedy = None
    if not steps:
        why = "The loss is not finite before the first step: the rate is not to blame."
        where, change = "loss", "Look for numbers that are not finite in inputs, targets and weights."
    elif alone:
        why = f"The loss stops being finite after {steps} steps, without the penalties too: the steps are too large."
        ratios = medians_of(obs.alone, 1).values()
        to, remedy = lower_rate(obs, max(ratios, default=0.0) / LARGE)
        where, change = "optimizer.lr", f"Lower the learning rate{to}, and look at the scale of the inputs and targets."
    elif decay:
        why = f"The loss stops being finite after {steps} steps, and does not without the optimizer's weight decay: a "
        why += "step takes the learning rate times the decay of a weight, which has to stay far below 1."
        where = f"optimizer.weight_decay of {listed(list(obs.subject.decays))}"
        change, remedy = _lower_strength(obs, "weight_decay")
    else:
        why = f"The loss stops being finite after {steps} steps, and does not without the penalties: the learning rate "
        why += "times the penalty's factor has to stay far below 1."
        where = listed([*obs.subject.penalised] or ["activities"])
        change, remedy = _lower_strength(obs, "strength")
    numbers = {"steps": steps, "without_penalties": float(alone)}
    return Finding("diverges", where, "severe", numbers, why=why, change=change, remedy=remedy, blame=1e6)


def _lower_strength(obs: Observed, what: Literal["weight_decay", "strength"]) -> tuple[str, Remedy]:
    """Powers of ten lower, until the loss stays finite and falls as it does without."""
    kind: Kind = "strength" if what == "strength" else "weight decay"
    for tens in range(1, _POWERS + 1):
        part = 10.0**-tens
        if what == "strength":
            watched, free = watch_steps(obs.subject, obs.steps, penalties=part), obs.without_penalties
        else:
            watched, free = watch_steps(obs.subject, obs.steps, decay=part), obs.alone
        if not watched.diverged and comes_as_low(watched, free):
            values = {decay.value for decay in obs.subject.decays.values()} if what == "weight_decay" else set()
            new = f"{values.pop() * part:.0e}" if len(values) == 1 else ""
            named = f"a weight_decay of {new}" if new else f"a {what} that is {10**tens:,} times smaller"
            said = f"tried: in {obs.steps} steps the task's loss comes to {watched.last_task_loss:.3g}"
            return f"Take {named} ({said}).", Remedy(kind, value=float(new) if new else None)
    return f"Take a {what} that is many times smaller, or leave it out.", Remedy(kind)


# The steps' size


def _fitting(obs: Observed, pick: Callable[[Iterable[float]], float], now: float) -> tuple[str, Remedy | None]:
    """The rate that brings the ratio that `pick` takes near the usual one, as an advice and as a remedy.

    It is found by trying: what a rate of nearly 0 moves is lost in rounding, and ratios need not follow the rate.
    """
    factor = 1.0
    for _ in range(_TRIES):
        if not (0 < now < inf) or 0.5 < now / _GOOD < 2:
            break
        factor *= _GOOD / now
        now = pick(medians_of(watch_steps(obs.subject, _TRIED, penalties=False, factor=factor)).values())
    lr = _rate(obs)
    if not lr or not 0.1 < now / _GOOD < 10 or not 0 < lr * factor < inf:
        return "", None
    new = _round(lr * factor)
    found = attempt(obs.subject, factor=new / lr, own_rate=True)
    return (
        (f"Take a learning rate of {new:g} ({found.summary}).", Remedy("rate", value=new))
        if found.learns
        else ("", None)
    )


def _too_large(obs: Observed) -> Iterator[Finding]:
    # Of the first steps: later the weights themselves have become too large. What starts at 0 has no scale.
    at_first = medians_of(obs.without_penalties, _TRIED)
    if obs.subject.decays and min((ratio for ratio in at_first.values() if ratio), default=0.0) > LARGE:
        at_first = medians_of(obs.alone, _TRIED)  # what a decay takes is not the rate's
    at_first = {name: ratio for name, ratio in at_first.items() if name not in obs.without_penalties.from_zero}
    smallest = min((ratio for ratio in at_first.values() if ratio), default=0.0)
    if smallest > LARGE:
        lr = _rate(obs)
        quarter = max(1, obs.steps // 4)
        first, last = (obs.alone.mean_task_loss(part) for part in (slice(1), slice(-quarter, None)))
        change, remedy = _fitting(obs, min, smallest)
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
            remedy=remedy,
            blame=smallest / _GOOD,
        )


def _still_groups(obs: Observed, medians: Mapping[str, float]) -> Iterator[Finding]:
    """Parameter groups that stand still beside others that move."""
    assert obs.subject.optimizer is not None
    names = {id(p): name for name, p in obs.subject.trained.items()}
    for index, group in enumerate(obs.subject.optimizer.param_groups):
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


def _scheduled(obs: Observed) -> Iterator[Finding]:
    groups = obs.subject.optimizer.param_groups if obs.subject.optimizer else []
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


def _rate(obs: Observed) -> float | None:
    """The learning rate, where it is one."""
    groups = obs.subject.optimizer.param_groups if obs.subject.optimizer else []
    rates = {rate_of(group) for group in groups if "lr" in group}
    return rate if len(rates) == 1 and isfinite(rate := rates.pop()) else None


def _round(value: float) -> float:
    """To the nearest 1, 2 or 5 times a power of 10."""
    power = floor(log10(value))
    rates = (digit * 10.0**p for p in (power, power + 1) for digit in (1, 2, 5))
    return min(rates, key=lambda rate: abs(log10(rate / value)))


# The first step


def _first_step(obs: Observed) -> Iterator[Finding]:
    shown = _shown(obs.with_rules)
    if shown is not None and obs.subject.decays and _breaks(shown):
        shown = _shown(obs.alone) if obs.alone.looks else shown
    if shown is None or not _breaks(shown):
        return
    name, most, rise, before, after = shown
    if most > _STRUCK:
        why = (
            f"One step makes {most:.0%} of the units in front of a ReLU negative for the whole batch: they put out 0, "
            "get no gradient, and stay so."
        )
    else:
        why = f"One step takes the loss of the batch that it was made for from {fmt(before)} to {fmt(after)}"
        why += f", and turns {most:.0%} of the units in front of a ReLU off." if name else "."
    to, remedy = lower_rate(obs, 0.0, lambda found: found.watched is None or not _breaks(_shown(found.watched)))
    yield Finding(
        "first_step_too_large",
        name if most > _STRUCK else "optimizer.lr",
        "severe",
        {"loss_before": before, "loss_after": after, "units_struck": most},
        why=why,
        change=f"Lower the learning rate{to}; or standardise the inputs, or put batch norm before the activations.",
        remedy=remedy,
        blame=max(most, rise),
    )


class _Shown(NamedTuple):
    """What the first step did."""

    layer: str
    struck: float
    rise: float
    before: float
    after: float


def _shown(watched: WatchedSteps) -> _Shown | None:
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
