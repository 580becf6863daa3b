"""Training against validation: overfitting, and a validation that is better than training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.history.curves import Curves, common
from regtorch.doctor.history.robust import GAP, LEAST, RISE, SURE, smooth, window
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

_APART = 1.5  # validation over training loss
_WITHOUT = 0.2  # relative fall of the training loss in the second half, without validation
_BETTER = 0.05  # relative difference of the losses
_LAG = 1.5  # times half an epoch's progress, by which a mean over the epoch lags behind its end


def find(curves: Curves) -> Iterator[Finding]:
    """`overfitting` and `validation_better`."""
    yield from _overfitting(curves)
    yield from _better(curves)


def _overfitting(curves: Curves) -> Iterator[Finding]:
    val, task = curves.val, curves.task
    if len(val) >= LEAST and len(task) >= LEAST:
        steady = smooth(val.values)
        low = min(range(len(steady)), key=steady.__getitem__)
        rise = val.end - steady[low]
        sure = SURE * val.fluctuation * (2 / window(len(val))) ** 0.5
        scale = steady[low] if steady[low] > 0 else val.values[0] - steady[low]  # a likelihood's loss may be negative
        learns = task.end < task.at(val.epochs[low])
        if low < len(val) - window(len(val)) and learns and rise > max(RISE * scale, sure):
            near = range(max(0, low - 2), min(len(val), low + 3))  # medians flatten the lowest place
            best = min(near, key=val.values.__getitem__)
            yield _rising(curves, val.epochs[best], val.values[best])
            return
    yield from _memorised(curves)


def _memorised(curves: Curves) -> Iterator[Finding]:
    """Training goes on without validation, though the validation loss hardly rises."""
    unit, task, val, gap = curves.history.unit, curves.task, curves.val, _gap(curves)
    why, numbers, epoch = "", {}, 0.0
    if gap is not None:
        epoch, numbers = curves.accuracy.epochs[-1], {"gap": gap}
        why = f"Training ends at an accuracy of {curves.accuracy.end:.3f}, validation at {curves.val_accuracy.end:.3f}"
    elif min(len(val), len(task)) >= 2 * LEAST and val.end > _APART * task.end > 0 < min(val.middle, task.middle):
        fell, held = (1 - curve.end / curve.middle for curve in (task, val))
        if fell > _WITHOUT and held < _WITHOUT / 4:
            epoch, numbers = val.epochs[val.lowest()], {"ratio": val.end / task.end}
            why = f"In the second half of training its loss fell by {fell:.0%} to {fmt(task.end)}, that of validation "
            "stays"
            why += f" at {fmt(val.end)}"
    if why:
        yield Finding(
            "overfitting",
            f"{unit} {epoch:g}",
            "info",
            {**numbers, "epoch": epoch},
            why=f"{why}: the net knows its training samples better, though the validation loss hardly rises.",
            change="More data, augmentation, dropout or a stronger penalty may improve validation.",
        )


def _rising(curves: Curves, epoch: float, lowest: float) -> Finding:
    unit, val, task, shares = curves.history.unit, curves.val, curves.task, curves.val_accuracy
    why = (
        f"The validation loss is lowest in {unit} {epoch:g} ({fmt(lowest)}) and ends at {fmt(val.values[-1])}, while "
        f"the training loss falls from {fmt(task.at(epoch))} to {fmt(task.values[-1])}"
    )
    if len(shares) > 1:
        then = next((v for e, v in zip(shares.epochs, shares.values, strict=True) if e >= epoch), shares.values[-1])
        falls = then - shares.end > max(0.01, SURE * curves.error)
        why += f"; the validation accuracy goes from {then:.3f} to {shares.values[-1]:.3f}"
        why += "" if falls else ": the net errs as often, but is surer when it does"
    return Finding(
        "overfitting",
        f"{unit} {epoch:g}",
        "warning",
        {"epoch": epoch, "lowest": lowest, "end": val.end, "rise": val.end - lowest},
        why=f"{why}.",
        change=f"Keep the weights of {unit} {epoch:g} (early stopping on the validation loss), or regularize: a "
        "stronger penalty, dropout, augmentation, more data, a smaller net.",
        remedy=Remedy("epochs", value=max(1, round(epoch))) if unit == "epoch" else None,
        blame=2.0,
    )


def _gap(curves: Curves) -> float | None:
    if len(curves.accuracy) < LEAST or len(curves.val_accuracy) < LEAST:
        return None
    gap = curves.accuracy.end - curves.val_accuracy.end
    return gap if gap > max(GAP, SURE * curves.error) else None


def _better(curves: Curves) -> Iterator[Finding]:
    pairs = common(curves.task, curves.val)
    if len(pairs) < 2:
        return
    ours = [train for _, train, _ in pairs]
    better = [(train - held) / abs(train) if train else 0.0 for _, train, held in pairs]
    half = max(1, len(pairs) // 2)
    first = next((epoch for (epoch, _, _), by in zip(pairs, better, strict=True) if by > _BETTER), None)
    if first is None:
        return
    lags = [(a - b) / 2 for a, b in pairwise(ours)]  # half an epoch's progress
    gains = [train - held for _, train, held in pairs]
    late = median(better[-half:])
    behind = all(
        gain <= _LAG * max(lag, 0.0) for gain, lag in zip(gains, lags, strict=False) if gain > _BETTER * ours[0]
    )
    persists = late > _BETTER and better[-1] > 0
    if not persists and (behind or first != pairs[0][0]) and median(better[:half]) <= _BETTER:
        return
    reason, change = _reason(curves, pairs, persists)
    unit = curves.history.unit
    last = pairs[-1] if persists else pairs[0]
    yield Finding(
        "validation_better",
        f"{unit} {first:g}",
        "info",
        {"epoch": first, "training": last[1], "validation": last[2]},
        why=f"In {unit} {last[0]:g} the validation loss is {fmt(last[2])} and the training loss {fmt(last[1])}: "
        f"{reason}.",
        change=change,
    )


def _reason(curves: Curves, pairs: Sequence[tuple[float, float, float]], persists: bool) -> tuple[str, str]:
    shares = common(curves.accuracy, curves.val_accuracy)
    if not persists:
        return (
            "a training loss is a mean over the epoch, in which the net was still worse than at its end, where "
            "validation is measured; the difference vanishes as training slows down",
            "Nothing.",
        )
    if shares and abs(shares[-1][2] - shares[-1][1]) < max(0.01, 2 * curves.error):
        return (
            "the accuracies are equal, so the training loss includes what the validation loss does not, such as a "
            "penalty or smoothed labels",
            "Nothing, or log the penalty apart to compare the two.",
        )
    return (
        "the difference stays, so training is made harder by dropout, noise, augmentation or a penalty that "
        "validation does without, or the validation samples are easier",
        "Measure the training samples in evaluation mode; if they are still worse, look for training samples in the "
        "validation set, or for a split that is not random.",
    )
