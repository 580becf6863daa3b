"""Validation curves that jump: few samples, running statistics that lag, and a best epoch that is luck."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.history.curves import Curve, Curves, common
from regtorch.doctor.history.robust import FEW, JUMP, LEAST, SURE, fluctuation, smooth

__all__ = ["find"]

_NOISY = 0.02  # of an accuracy, about its trend
_TIMES = 3.0  # a validation curve that fluctuates so many times more than that of training
_AHEAD = 1.2  # validation over training loss in the first epoch; without a lag it is below 1
_LATE = 0.15  # of an accuracy, by which validation is worse in the first epoch
_OFTEN = 0.15  # share of the epochs that jump
_WORTH = 0.003  # of an accuracy: a best epoch that is less than this above the others is theirs


def find(curves: Curves) -> Iterator[Finding]:
    """`batch_norm_lag`, `validation_noise` and `best_by_luck`."""
    lag = next(_lag(curves), None)
    if lag is not None:
        yield lag
    yield from _noise(curves, jumps=lag is not None)
    yield from _luck(curves)


def _lag(curves: Curves) -> Iterator[Finding]:
    val, task, unit = curves.val, curves.task, curves.history.unit
    if len(val) < LEAST or len(task) < LEAST or min(val.values) <= 0 or min(task.values) <= 0:
        return
    jumps = _jumps(val)
    calm = {round(epoch, 9) for epoch in _jumps(task)}
    own = [epoch for epoch in jumps if round(epoch, 9) not in calm]
    late = _late(curves)
    few = curves.samples is not None and curves.samples < FEW[1]
    often = len(own) >= max(2, _OFTEN * len(val))
    rough = fluctuation([log(v) for v in val.values]) > _TIMES * fluctuation([log(v) for v in task.values])
    if not few and often and (rough or len(own) > 2 * len(calm)):
        shown = ", ".join(f"{epoch:g}" for epoch in own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
        why = (
            f"The validation loss jumps in {unit} {shown}, up to {fmt(max(_value(val, e) for e in own))}, where the "
            "training loss is smooth"
        )
        first = own[0]
    elif late is not None and not few:
        first = val.epochs[0]
        why = (
            f"In {unit} {first:g} validation is far behind (loss {fmt(val.values[0])}, in training "
            f"{fmt(task.values[0])}), though a training loss is a mean over the {unit}; {late}"
        )
    else:
        return
    yield Finding(
        "batch_norm_lag",
        f"{unit} {first:g}",
        "warning",
        {"epoch": first, "jumps": len(own)},
        why=f"{why}: in evaluation, batch norms use running statistics, which lag behind weights that change fast.",
        change="With batch norms: a momentum that follows faster (Keras 0.9, torch 0.1), a lower learning rate, or "
        "larger batches. Without them: a lower learning rate, and validation inputs that are prepared as those of "
        "training.",
        blame=1.0,
    )


def _jumps(curve: Curve) -> list[float]:
    """Epochs whose loss is far above that before and after."""
    v = curve.values
    return [
        curve.epochs[i] for i in range(1, len(v) - 1) if v[i] > JUMP * max(v[i - 1], v[i + 1]) and v[i] > JUMP * min(v)
    ]


def _value(curve: Curve, epoch: float) -> float:
    return curve.values[list(curve.epochs).index(epoch)]


def _late(curves: Curves) -> str | None:
    """What became of a validation that was far behind at first; None of another."""
    losses = common(curves.task, curves.val)
    shares = common(curves.accuracy, curves.val_accuracy)
    if len(losses) < LEAST:
        return None
    gaps = [(epoch, held - train) for epoch, train, held in losses]
    if losses[0][2] < _AHEAD * losses[0][1]:
        return None
    behind = bool(shares) and shares[0][1] - shares[0][2] > _LATE + SURE * curves.error
    early = max(gap for _, gap in gaps[: max(2, len(gaps) // 3)])
    closed = next((epoch for epoch, gap in gaps[1:] if gap < early / 2), None)
    if closed is not None:
        return f"half of the gap is closed in {curves.history.unit} {closed:g}"
    return "the gap stays" if behind else None


def _noise(curves: Curves, *, jumps: bool) -> Iterator[Finding]:
    shares, samples = curves.val_accuracy, curves.samples
    if len(shares) < LEAST:
        return
    own = fluctuation(shares.values)
    if samples is not None and samples < FEW[0]:
        told = "" if curves.history.val_samples is not None else ", as all accuracies are multiples of 1/{0}"
        severity: Severity = "warning" if samples < FEW[1] else "info"
        why = (
            f"With {samples} validation samples{told.format(samples)}, the standard error of an accuracy of "
            f"{shares.end:.3f} is {curves.error:.3f}: epochs that differ by less than {2 * curves.error:.3f} cannot be "
            "told apart"
        )
    elif samples is None and not jumps and own > _NOISY and own > _TIMES * fluctuation(curves.accuracy.values):
        severity = "warning" if own > 2 * _NOISY else "info"
        why = (
            f"The validation accuracy goes up and down by {own:.3f} from {curves.history.unit} to "
            f"{curves.history.unit}, that of training by {fluctuation(curves.accuracy.values):.3f}: there are few "
            "validation samples, or the learning rate is too large"
        )
    else:
        return
    yield Finding(
        "validation_noise",
        f"{curves.history.unit} {shares.epochs[0]:g}",
        severity,
        {"epoch": shares.epochs[0], "fluctuation": own, **({"samples": samples} if samples is not None else {})},
        why=f"{why}.",
        change="Hold out more samples, cross-validate, or compare means over several epochs and seeds.",
    )


def _luck(curves: Curves) -> Iterator[Finding]:
    shares = curves.val_accuracy
    if len(shares) < 2 * LEAST:
        return
    best = max(range(len(shares)), key=shares.values.__getitem__)
    around = [v for i, v in enumerate(shares.values) if 0 < abs(i - best) <= 3]
    level = sorted(around)[len(around) // 2]
    noise = max(fluctuation(shares.values), curves.error)
    steady = smooth(shares.values)
    flat = max(steady[best:]) - min(steady[max(0, best - 3) :]) < 2 * noise
    above = shares.values[best] - level
    if best == len(shares) - 1 or not flat or above < _WORTH or above > SURE * noise:
        return
    yield Finding(
        "best_by_luck",
        f"{curves.history.unit} {shares.epochs[best]:g}",
        "info",
        {"epoch": shares.epochs[best], "best": shares.values[best], "around": level, "noise": noise},
        why=f"The best accuracy, {shares.values[best]:.4g}, is {above:.3f} above its neighbours' median, and the "
        f"noise of a single one is {noise:.3f}: another seed would make another {curves.history.unit} the best.",
        change=f"Report {level:.3f}, the level around it, or the score of the chosen weights on other samples.",
    )
