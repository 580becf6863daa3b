"""A penalty that is most of the loss, from its own series or from what the accuracy cannot explain."""

from __future__ import annotations

import math
from collections.abc import Iterator

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.history.curves import Curves
from regtorch.doctor.history.robust import BEYOND, ceiling, window
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

_SHARE = 0.5  # of the loss
_LEARNT = 0.9  # accuracy from which a large penalty has done no visible harm
_UNSURE = 1.5  # times the highest loss of its accuracy: further above, being unsure does not explain a loss
_SLOW = (
    0.1  # relative fall of the loss over its last quarter: one that falls faster may be unsure rather than penalised
)
_FALL = 0.2  # of the loss, that no rise of the accuracy explains
_MOST_CLASSES = 1000  # where they are unknown: a rise of the accuracy then explains the largest fall


def find(curves: Curves) -> Iterator[Finding]:
    """`penalty_dominates`."""
    loss = curves.loss
    if not loss or loss.end <= 0:
        return
    if curves.penalty and curves.history.loss == "task_loss":
        share = curves.penalty.end / loss.end
        if share >= _SHARE:
            yield _finding(curves, share, f"the penalty is {share:.2f} of the loss at the end", first=_first(curves))
        return
    excess = _of_excess(curves)
    fall = None if curves.at_chance and excess is None else _of_fall(curves)  # a first step too large falls likewise
    reasons: list[str] = []
    if fall is not None:
        first, last = curves.accuracy.values[0], curves.accuracy.values[-1]
        reasons.append(
            f"the training loss falls from {loss.values[0]:.4g} to {loss.values[-1]:.4g} while the accuracy goes from "
            f"{first:.3g} to {last:.3g}, which explains less than half of it: the rest is a penalty that falls"
        )
    if excess is not None:
        accuracy = curves.accuracy.end
        reasons.append(
            f"the training loss ends at {loss.end:.4g}; calibrated, a classifier of {curves.classes} classes with an "
            f"accuracy of {accuracy:.3g} has at most {ceiling(accuracy, curves.classes or 2):.3g}: the rest is a "
            "penalty or smoothed labels, unless the outputs are far too large"
        )
    if reasons:
        yield _finding(curves, max(excess or 0.0, fall or 0.0), "; ".join(reasons))


def _finding(curves: Curves, share: float, why: str, first: float | None = None) -> Finding:
    shares = curves.accuracy or curves.val_accuracy
    severity: Severity = "warning"
    if curves.at_chance:
        severity = "severe"
    elif shares and shares.end >= _LEARNT:
        severity = "info"
    epoch = curves.loss.epochs[0] if first is None else first
    return Finding(
        "penalty_dominates",
        "loss",
        severity,
        {"share": share, "epoch": epoch},
        why=f"{why[:1].upper()}{why[1:]}.",
        change="Compare accuracies, not losses, with a training without the penalty, and lower its strength to a "
        "tenth if that is better.",
        remedy=Remedy("strength", factor=0.1),
        blame=share,
    )


def _first(curves: Curves) -> float:
    """The first epoch from which the penalty stays the larger part."""
    epoch = curves.loss.epochs[-1]
    for at, whole, part in reversed(
        list(zip(curves.loss.epochs, curves.loss.values, curves.penalty.values, strict=False))
    ):
        if part < _SHARE * whole:
            break
        epoch = at
    return epoch


def _of_excess(curves: Curves) -> float | None:
    """The share of the training loss above what its accuracy allows, at the end."""
    if curves.classes is None or not curves.accuracy:
        return None
    limit = ceiling(curves.accuracy.end, curves.classes)
    excess, values = curves.loss.end - limit, curves.loss.values
    before = values[max(0, len(values) - 1 - window(len(values)))]
    unsure = values[-1] < (1 - _SLOW) * before and values[-1] < min(math.log(curves.classes), _UNSURE * limit)
    if unsure:
        return None
    return excess / curves.loss.end if excess > max(BEYOND * limit, 0.05) else None


def _of_fall(curves: Curves) -> float | None:
    """The share of the training loss's fall that a rise of the accuracy cannot explain."""
    if len(curves.loss) < 2 or len(curves.accuracy) < 2:
        return None
    classes = curves.classes or _MOST_CLASSES
    first, last = curves.accuracy.values[0], curves.accuracy.values[-1]
    fall = curves.loss.values[0] - curves.loss.values[-1]
    explained = max(0.0, ceiling(first, classes) - ceiling(last, classes))
    rest = fall - explained
    if curves.classes is not None:  # what falls must have been above what the first accuracy allows
        rest = min(rest, curves.loss.values[0] - ceiling(first, classes))
    return rest / curves.loss.values[0] if rest > _FALL * curves.loss.values[0] and rest > fall / 2 else None
