"""Gradients: not finite, missing, or vanishing towards the first layers."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import StepLook
from regtorch.doctor.measure.depth import DEEP, WEAKEST

__all__ = ["not_finite", "signs"]

_LOOKS = 10  # in a row: some weights are used in some batches only


def signs(look: StepLook) -> Iterator[Sign]:
    """`no_gradient_reaches`, `vanishing_gradients`."""
    yield from _unreached(look)
    yield from _vanishing(look)


def not_finite(look: StepLook) -> Iterator[Sign]:
    """`diverges`."""
    parts = [name for name, one in look.weights.items() if not isfinite(one.norm) or not isfinite(one.grad or 0.0)]
    if look.loss is not None and not isfinite(look.loss):
        parts = parts or ["loss"]
    for part in parts:
        yield Sign(
            "diverges",
            part,
            "severe",
            {"not_finite": len(parts)},
            why=f"Loss, gradients or weights are not finite in {len(parts)} places: no step can repair them.",
            change="Load an earlier checkpoint, and lower the learning rate or clip gradients; "
            "torch.autograd.set_detect_anomaly(True) names the operation that made the first one.",
            patience=1,
        )


def _unreached(look: StepLook) -> Iterator[Sign]:
    unreached = [name for name, one in look.weights.items() if not one.grad]
    for part in unreached:
        how = "no gradient" if look.weights[part].grad is None else "a gradient of exactly 0"
        yield Sign(
            "no_gradient_reaches",
            part,
            "severe" if len(unreached) == len(look.weights) else "warning",
            {"weights": len(unreached), "of": len(look.weights)},
            why=f"In {_LOOKS} looks in a row {len(unreached)} of {len(look.weights)} weights got {how} from the loss.",
            change="Look for detach(), torch.no_grad(), rounding or argmax after these weights, and for layers that "
            "forward does not use; freeze or remove weights that should not learn.",
            patience=_LOOKS,
        )


def _vanishing(look: StepLook) -> Iterator[Sign]:
    known = [(name, one.grad / one.norm) for name, one in look.matrices.items() if one.grad and one.norm]
    if len(known) < DEEP:
        return
    (first, least), (last, most) = known[0], known[-1]
    if least < WEAKEST * most:
        yield Sign(
            "vanishing_gradients",
            first,
            "severe",
            {"first_over_last": least / most},
            why=f"The gradient of {first} is {least / most:.1e} times that of {last}, each in relation to its weight: "
            "it shrinks from layer to layer on the way back, and the first layers hardly learn.",
            change="Use ReLUs with He initialisation, a norm or skip connections between the layers, fewer layers, or "
            "a smaller learning rate if activations saturated during training.",
            patience=5,
        )
