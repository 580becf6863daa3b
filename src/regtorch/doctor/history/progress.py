"""How far training got: still improving, on a plateau, underfitting, and what a change of the rate did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.history.curves import Curve, Curves
from regtorch.doctor.history.robust import FALLING, FLAT, LEAST, SURE, fluctuation, smooth, window
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

_HALF = 0.5  # of the way from chance to 1: less learnt on a plateau is underfitting
_SMALL_GAP = 0.05
_CUT = 0.7  # the new rate as a share of the old
_BEFORE = 1.3  # times the fall of the epochs before
_PART = 0.15  # of the whole fall of a loss, in its last quarter
_RISING = 0.01  # of an accuracy, in its last quarter
_DONE = 0.9  # accuracy from which a loss that still falls is no reason to go on


def find(curves: Curves) -> Iterator[Finding]:
    """`rate_step`, `underfitting` or `plateau`, and `still_improving`."""
    yield from _rate_steps(curves)
    flat = _flat_from(curves.task) if len(curves.task) >= LEAST else None
    if flat is not None:
        yield from _plateau(curves, flat)
    else:
        yield from _improving(curves)


def _flat_from(loss: Curve) -> float | None:
    """The epoch from which a loss does not fall any more, if that is at least a third of the training."""
    steady = smooth(loss.values)
    fall = steady[0] - min(steady)
    margin = max(FLAT * fall, loss.fluctuation)
    start = next((i for i, value in enumerate(steady) if value - steady[-1] <= margin), len(steady) - 1)
    count = len(steady) - start
    return loss.epochs[start] if count >= max(LEAST, len(steady) / 3) and start > 0 else None


def _plateau(curves: Curves, epoch: float) -> Iterator[Finding]:
    unit, task, shares, held = curves.history.unit, curves.task, curves.accuracy, curves.val_accuracy
    level = f"the training loss stays at {fmt(task.end)} from {unit} {epoch:g} on"
    numbers = {"epoch": epoch, "loss": task.end}
    if shares:
        chance = 1 / curves.classes if curves.classes else 0.0
        learnt = (shares.end - chance) / (1 - chance)
        close = not held or shares.end - held.end < _SMALL_GAP
        if learnt < _HALF and close:
            yield Finding(
                "underfitting",
                f"{unit} {epoch:g}",
                "warning",
                {**numbers, "accuracy": shares.end},
                why=f"Training itself gets no better: {level}, with a training accuracy of "
                f"{shares.end:.3f}{f' and a validation accuracy of {held.end:.3f}' if held else ''}.",
                change="Weaken penalties and dropout, enlarge the net, or change the learning rate; more data does "
                "not help.",
                blame=1.5,
            )
            return
    yield Finding(
        "plateau",
        f"{unit} {epoch:g}",
        "info",
        numbers,
        why=f"{level[:1].upper()}{level[1:]}.",
        change="Stop there, or lower the learning rate there to a tenth; if that does not help, the net has learnt "
        "what it can.",
    )


def _improving(curves: Curves) -> Iterator[Finding]:
    loss = curves.val if len(curves.val) > 1 else curves.task
    shares = curves.val_accuracy if len(curves.val_accuracy) > 1 else curves.accuracy
    if len(loss) < 3 or loss.end <= 0:
        return
    size = window(len(loss))
    before = median(loss.values[-2 - size : len(loss) - size]) if len(loss) > size + 1 else loss.values[0]
    fall = (before - loss.values[-1]) / before if before > 0 else 0.0
    steady = all(a > b for a, b in pairwise(loss.values[-1 - size :]))
    noisy = not steady and before - loss.values[-1] < SURE * loss.fluctuation
    if loss.lowest() != len(loss) - 1 or fall < FALLING or noisy:
        return
    of_all = (before - loss.values[-1]) / (max(loss.values) - loss.values[-1])
    rising = len(shares) <= size or shares.values[-1] - shares.values[-1 - size] > max(_RISING, curves.error)
    much = of_all > _PART and rising and (not shares or shares.end < _DONE)
    unit = curves.history.unit
    kind = "validation" if len(curves.val) > 1 else "training"
    yield Finding(
        "still_improving",
        f"{unit} {loss.epochs[-1]:g}",
        "warning" if much else "info",
        {"epoch": loss.epochs[-1], "fall": fall, "epochs": size},
        why=f"The {kind} loss is lowest in the last {unit} and fell by {fall:.0%} in the last {size} of {len(loss)}, "
        f"from {fmt(before)} to {fmt(loss.values[-1])}: training stopped before it was done.",
        change="Train at least twice as long, with early stopping; or raise the learning rate if it fell slowly all "
        "along.",
        remedy=Remedy("epochs", value=2 * round(loss.epochs[-1])) if unit == "epoch" else None,
        blame=0.5,
    )


def _rate_steps(curves: Curves) -> Iterator[Finding]:
    rates, loss, unit = curves.history.lr, curves.task, curves.history.unit
    epochs = list(rates)
    for before, epoch in pairwise(epochs):
        if not 0 < rates[epoch] <= _CUT * rates[before] or epoch not in loss.epochs:
            continue
        at = list(loss.epochs).index(epoch)
        parts = [loss.values[max(0, start) : start + 4] for start in (at - 8, at - 4, at)]
        if at < 8 or len(parts[2]) < 2:
            continue
        earlier, level, then = map(median, parts)
        if level - then < max(_BEFORE * (earlier - level), FALLING * level, fluctuation(loss.values[:at])):
            continue
        yield Finding(
            "rate_step",
            f"{unit} {epoch:g}",
            "info",
            {"epoch": epoch, "from": rates[before], "to": rates[epoch], "fall": level - then},
            why=f"When the rate went from {rates[before]:.3g} to {rates[epoch]:.3g} in {unit} {epoch:g}, the training "
            f"loss fell from {fmt(level)} to {fmt(then)}: before, steps were too large to settle.",
            change="Lower the rate earlier, or let it fall all along, as a cosine does.",
        )
