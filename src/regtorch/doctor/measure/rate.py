"""A learning rate that is too small to move anything, or so large that it destroys what was learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Literal, NamedTuple

from regtorch.doctor.finding import Finding, fmt, listed
from regtorch.doctor.measure.fast_rate import fast, momentum
from regtorch.doctor.measure.fitting_rate import GOOD, TRIED, common_rate, fitting_rate, fitting_rate_of_group
from regtorch.doctor.measure.infinite_loss import infinite_loss
from regtorch.doctor.measure.slow_rate import slow
from regtorch.doctor.measure.start import NARROW
from regtorch.doctor.measure.tolerated import comes_as_low
from regtorch.doctor.measure.weaker import scaled
from regtorch.doctor.observe.attempt import Attempt
from regtorch.doctor.observe.lower_rate import LARGE, lower_rate, medians_of
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.optimizer_copy import number, rate_of
from regtorch.doctor.observe.starting_point import gain, has_learnt, tables_of, weights_are_to_blame
from regtorch.doctor.observe.steps import WatchedSteps, watch_steps
from regtorch.doctor.observe.uses import RELUS
from regtorch.doctor.remedy import Kind, NoNumber, Remedy

__all__ = ["SMALL", "TINY", "find"]

TINY, SMALL = 1e-6, 1e-5
"""‖update‖/‖weight‖ below which no weight moves, or hardly any."""
_FITTED = 0.01  # of the loss with other samples' targets
_DEAD = 0.9  # share of a layer's units
_POWERS = 6  # of ten, tried when lowering a strength
_RISE = 10.0  # of a batch's loss, in a step meant to lower it


def find(obs: Observed) -> Iterator[Finding]:
    """Findings about the optimizer's learning rate; without one, only that the loss is not finite at first."""
    if obs.with_rules.diverged and not obs.with_rules.steps:
        yield infinite_loss(obs)
        return
    if obs.subject.optimizer is None:
        return
    if obs.with_rules.diverged:
        yield _diverges(obs)
        return
    yield from _still(obs)
    medians = medians_of(obs.without_penalties)
    if medians and max(medians.values()) >= SMALL:
        yield from _still_groups(obs, medians)
    if medians:
        yield from _too_large(obs)
    yield from _first_step(obs)
    yield from momentum(obs)
    yield from _scheduled(obs)


def _still(obs: Observed) -> Iterator[Finding]:
    """`rate_too_small` if no weight moves; not of a net that fits its batches, whose gradients are small for that."""
    medians = medians_of(obs.without_penalties)
    name, largest = max(medians.items(), key=lambda item: item[1], default=("", inf))
    if has_learnt(obs, _FITTED):
        return
    if not largest < SMALL:  # NaN: an infinite rate
        yield from slow(obs, largest)
        return
    lr = common_rate(obs)
    change, remedy = fitting_rate(obs, max, largest)
    yield Finding(
        "rate_too_small",
        "optimizer.lr",
        "severe" if largest < TINY else "warning",
        {"largest_update_over_weight": largest, **({} if lr is None else {"lr": lr})},
        why=f"With {_named(lr)} no weight moves by more than {largest:.1e} of its norm per step ({name} moves most); "
        f"about {GOOD:g} is usual.",
        change=change or "Use a larger learning rate, or an optimizer that normalises the gradient, such as Adam.",
        remedy=remedy,
        blame=GOOD / max(largest, 1e-12),
    )


def _named(lr: float | None) -> str:
    return "the optimizer" if lr is None else f"a learning rate of {lr:g}"


# Divergence


def _diverges(obs: Observed) -> Finding:
    steps = len(obs.with_rules.steps)
    alone = obs.alone.diverged
    decay = not alone and obs.without_penalties.diverged
    remedy = None
    if alone:
        why = f"The loss stops being finite after {steps} steps, even without penalties: the steps are too large."
        ratios = medians_of(obs.alone, 1).values()
        to, remedy = lower_rate(obs, max(ratios, default=0.0) / LARGE)
        where, change = "optimizer.lr", f"Lower the learning rate{to}, and check the scale of the inputs and targets."
    elif decay:
        why = f"The loss stops being finite after {steps} steps, but not without the optimizer's weight decay: a step "
        why += "shrinks weights by the factor learning rate × decay, which must be far below 1."
        where = f"optimizer.weight_decay of {listed(list(obs.subject.decays))}"
        change, remedy = _lower_strength(obs, "weight_decay")
    else:
        why = f"The loss stops being finite after {steps} steps, but not without the penalties: learning rate × "
        why += "strength must be far below 1."
        where = listed([*obs.subject.penalised] or ["activities"])
        change, remedy = _lower_strength(obs, "strength")
    numbers = {"steps": steps, "without_penalties": float(alone)}
    return Finding("diverges", where, "severe", numbers, why=why, change=change, remedy=remedy, blame=1e6)


def _lower_strength(obs: Observed, what: Literal["weight_decay", "strength"]) -> tuple[str, Remedy]:
    """Lower it by powers of ten, until the loss stays finite and falls as it does without it."""
    decay = what == "weight_decay"
    weights = list(obs.subject.decays if decay else obs.subject.penalised)
    for tens in range(1, _POWERS + 1):
        part = 10.0**-tens
        if not decay:
            watched, free = watch_steps(obs.subject, obs.steps, penalties=part), obs.without_penalties
        else:
            watched, free = watch_steps(obs.subject, obs.steps, decay=part), obs.alone
        if not watched.diverged and comes_as_low(watched, free):
            remedy = scaled(obs.subject, weights, part, decay=decay)
            one = decay and remedy.value is not None
            named = f"a weight_decay of {remedy.value:.3g}" if one else f"a {what} that is {10**tens:,} times smaller"
            tried = f"tried: in {obs.steps} steps the task's loss reaches {watched.last_task_loss:.3g}"
            return f"Use {named} ({tried}).", remedy
    none = NoNumber(f"none down to {10**_POWERS:,} times smaller lets the loss fall as it does without it")
    kind: Kind = "weight decay" if decay else "strength"
    return f"Use a {what} that is many times smaller, or remove it.", Remedy(kind, weights, none)


# The steps' size


def _too_large(obs: Observed) -> Iterator[Finding]:
    # First steps only: later the weights have grown too large. Weights that start near 0 have no scale.
    at_first = medians_of(obs.without_penalties, TRIED)
    if obs.subject.decays and min((ratio for ratio in at_first.values() if ratio), default=0.0) > LARGE:
        at_first = medians_of(obs.alone, TRIED)  # exclude the decay's part
    small = {name for name, p in obs.subject.trained.items() if p.ndim > 1 and gain(p) < NARROW}
    at_first = {name: ratio for name, ratio in at_first.items() if name not in small}
    tables = tables_of(obs.subject.model)  # of whose rows most keep still
    layers = {name: ratio for name, ratio in at_first.items() if id(obs.subject.trained.get(name)) not in tables}
    at_first = layers if len(layers) > 1 else at_first
    smallest = min((ratio for ratio in at_first.values() if ratio), default=0.0)
    if smallest > LARGE:
        lr = common_rate(obs)
        quarter = max(1, obs.steps // 4)
        first, last = (obs.alone.mean_task_loss(part) for part in (slice(1), slice(-quarter, None)))
        change, remedy = fitting_rate(obs, min, smallest)
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
            why=f"With {_named(lr)} every weight matrix moves by at least {smallest:.2g} of its norm per step, which "
            "destroys what was learnt.",
            change=change or "Use a smaller learning rate.",
            remedy=remedy,
            blame=smallest / GOOD,
        )
    else:
        yield from fast(obs, at_first)


def _still_groups(obs: Observed, medians: Mapping[str, float]) -> Iterator[Finding]:
    """`rate_too_small` of parameter groups."""
    assert obs.subject.optimizer is not None
    names = {id(p): name for name, p in obs.subject.trained.items()}
    for index, group in enumerate(obs.subject.optimizer.param_groups):
        own = [name for p in group["params"] if (name := names.get(id(p), "")) in medians]
        largest = max((medians[name] for name in own), default=inf)
        if largest < TINY:
            lr = rate_of(group)
            to, remedy = fitting_rate_of_group(obs, index, own, largest)
            yield Finding(
                "rate_too_small",
                listed(own),
                "warning",
                {"largest_update_over_weight": largest, "lr": lr, "group": index},
                why=f"Parameter group {index} has a learning rate of {lr:g}: none of its weights moves by more than "
                f"{largest:.1e} of its norm per step, while others move by {max(medians.values()):.1e}.",
                change=f"Use a larger rate for the group{to}, or freeze its weights if they should not be trained.",
                remedy=remedy,
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
            why=f"A schedule has set the learning rate to {max(now):g}, as in a warm-up; the steps were watched at its "
            f"initial rate of {max(watched):g}.",
            change="Nothing if the schedule raises the rate again.",
        )


# The first step


def _first_step(obs: Observed) -> Iterator[Finding]:
    shown = _shown(obs.with_rules)
    if shown is not None and obs.subject.decays and _breaks(shown):
        shown = _shown(obs.alone) if obs.alone.looks else shown
    if shown is None or not _breaks(shown):
        return
    name, most, rise, before, after = shown
    if most > _DEAD:
        why = f"One step makes the inputs of {most:.0%} of a ReLU's units negative for the whole batch: they output 0, "
        why += "get no gradient, and stay dead."
    else:
        why = f"One step raises the loss of its own batch from {fmt(before)} to {fmt(after)}"
        why += f", and deactivates {most:.0%} of a ReLU's units." if name else "."
    to, remedy = ("", None) if weights_are_to_blame(obs) else lower_rate(obs, 0.0, _does_not_break)
    yield Finding(
        "first_step_too_large",
        name if most > _DEAD else "optimizer.lr",
        "severe",
        {"loss_before": before, "loss_after": after, "units_struck": most},
        why=why,
        change=f"Lower the learning rate{to}, standardise the inputs, or put batch norm before the activations.",
        remedy=remedy,
        blame=max(most, rise),
    )


class _Shown(NamedTuple):
    """The effect of the first step."""

    layer: str
    died: float
    rise: float
    before: float
    after: float


def _shown(watched: WatchedSteps) -> _Shown | None:
    if len(watched.looks) < 2:
        return None
    before, after = watched.looks[:2]
    relus = {key: use for key, use in before.uses.items() if use.kind in RELUS and key in after.uses}
    died = {use.layer: after.uses[key].died_since(use) for key, use in relus.items()}
    name = max(died, key=lambda n: died[n], default="")
    rise = after.loss / before.loss if before.loss > 0 else 0.0
    return _Shown(name, died.get(name, 0.0), rise, before.loss, after.loss)


def _does_not_break(found: Attempt) -> bool:
    return found.watched is None or not _breaks(_shown(found.watched))


def _breaks(shown: _Shown | None) -> bool:
    return shown is not None and (shown.died > _DEAD or shown.rise > _RISE)
