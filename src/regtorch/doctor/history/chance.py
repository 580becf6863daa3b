"""Trainings that learn nothing: a loss that never moves, an accuracy that stays at chance, a loss that grows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from regtorch.doctor.finding import Finding, fmt
from regtorch.doctor.history.curves import Curve, Curves
from regtorch.doctor.history.robust import CONSTANT, LEAST, smooth
from regtorch.doctor.remedy import Remedy

__all__ = ["find"]

_GROWN = 1.5  # times its lowest level
_LASTING = 3  # epochs


def find(curves: Curves) -> Iterator[Finding]:
    """`diverges`, `constant_loss` or `never_left_chance`; where one is found, other shapes mean nothing."""
    first = next(_diverges(curves), None) or next(_constant(curves), None) or next(_chance(curves), None)
    if first is not None:
        yield first


def _diverges(curves: Curves) -> Iterator[Finding]:
    history = curves.history
    for stage, series in (("training", history.train), ("validation", history.val)):
        for points in series.values():
            bad = next(((epoch, value) for epoch, value in points.items() if not math.isfinite(value)), None)
            if bad is not None and stage == "training":
                yield _divergence(curves, bad[0], f"the {stage} loss is {bad[1]} from {history.unit} {bad[0]:g} on")
                return
    loss = curves.loss
    if len(loss) < LEAST:
        return
    steady = smooth(loss.values)
    low = min(range(len(steady)), key=steady.__getitem__)
    grown = loss.end > _GROWN * steady[low] and loss.end - steady[low] > 6 * loss.fluctuation
    if not (steady[low] > 0 and grown and loss.end > 0.5 * loss.values[0]):
        if not _is_lost(loss):
            return
        low = loss.lowest()
    yield _divergence(
        curves,
        loss.epochs[min(low + 1, len(loss) - 1)],
        f"the training loss falls to {fmt(loss.values[low])} and then rises to {fmt(loss.values[-1])}",
    )


def _is_lost(loss: Curve) -> bool:
    """Whether all losses after the lowest, however much they fluctuate, are above all before them."""
    low = loss.lowest()
    before, after = loss.values[: low + 1], loss.values[low + 1 :]
    return len(after) >= _LASTING and loss.values[low] > 0 and min(after) > max(*before, _GROWN * loss.values[low])


def _divergence(curves: Curves, epoch: float, why: str) -> Finding:
    rate = [value for at, value in curves.history.lr.items() if at <= epoch]
    return Finding(
        "diverges",
        f"{curves.history.unit} {epoch:g}",
        "severe",
        {"epoch": epoch, **({"rate": rate[-1]} if rate else {})},
        why=f"Training diverges: {why}{f', at a learning rate of {rate[-1]:g}' if rate else ''}.",
        change="Lower the learning rate to a tenth, or clip gradients; if it still diverges, look for inputs that "
        "are not finite.",
        remedy=Remedy("rate", factor=0.1),
    )


def _constant(curves: Curves) -> Iterator[Finding]:
    loss = curves.loss
    lines = [curve for curve in (loss, curves.val) if len(curve) > 2]
    if not lines or loss not in lines or not all(_same(curve) for curve in lines):
        return
    shares = curves.accuracy.values
    if shares and max(shares) - min(shares) > 2e-3:
        return
    yield Finding(
        "constant_loss",
        f"{curves.history.unit} {loss.epochs[0]:g}",
        "severe",
        {"loss": loss.values[0], "epoch": loss.epochs[0]},
        why=f"The loss is {loss.values[0]:.4g} in all {len(loss)} {curves.history.unit}s, to the last digit: no "
        "weight moves, or none has an effect.",
        change="Look for a rate of 0, frozen weights, dead ReLUs, a softmax over one unit, or a loss cut off from "
        "the net; rt.diagnose on the net tells which.",
    )


def _same(curve: Curve) -> bool:
    return max(curve.values) - min(curve.values) <= CONSTANT * max(map(abs, curve.values))


def _chance(curves: Curves) -> Iterator[Finding]:
    if not curves.at_chance:
        return
    shares = curves.val_accuracy or curves.accuracy
    loss, classes, history = curves.val or curves.task, curves.classes, curves.history
    best = max(shares.values)
    parts = [f"the accuracy is {_range(shares)} in all {len(shares)} {history.unit}s"]
    numbers = {"best_accuracy": best, "epoch": shares.epochs[0]}
    if classes is not None:
        numbers |= {"classes": classes, "chance_loss": math.log(classes)}
        parts[0] += f", chance with {classes} classes is {1 / classes:.3g}"
        if loss:
            parts.append(f"the loss ends at {loss.end:.4g}, chance is ln {classes} = {math.log(classes):.4g}")
    if curves.one_class:
        parts.append("the accuracy does not change at all, so every sample gets the same class")
    fell = curves.loss.values[0] - curves.loss.end if len(curves.loss) > 1 else 0.0
    if fell > 0.03 and curves.val and curves.loss.values[0] - curves.val.values[0] > 0.03:
        parts.append(
            f"the training loss fell from {curves.loss.values[0]:.4g} to {curves.loss.values[-1]:.4g} without the "
            "accuracy: what fell is a penalty, or the noise of dropout"
        )
    yield Finding(
        "never_left_chance",
        f"{history.unit} {shares.epochs[0]:g}",
        "severe",
        numbers,
        why=_sentence(parts),
        change="Train without penalties and dropout first; if it learns, bring them back one at a time, weaker. If "
        "it does not, the learning rate, the inputs' scale or the labels are wrong: rt.diagnose on the net tells "
        "which.",
    )


def _range(curve: Curve) -> str:
    low, high = min(curve.values), max(curve.values)
    return f"{low:.4g}" if high - low < 1e-9 else f"{low:.3f} to {high:.3f}"


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
