"""Activations without a gradient: dead ReLUs, saturated sigmoids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from regtorch.doctor.along.course import Sign
from regtorch.doctor.causes import Severity
from regtorch.doctor.measure.dead_units import SEVERE, WARNING
from regtorch.doctor.observe.uses import NEAR, RELUS, Use

__all__ = ["Activations"]

_LOOKS = 3  # in a row


class Activations:
    """`dead_relus` and `saturated_sigmoids`: nearly all of a layer, or more than half that was alive before."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], float] = {}
        self._last: Mapping[tuple[str, str], Use] = {}

    def signs(self, uses: Mapping[tuple[str, str], Use]) -> Iterator[Sign]:
        for key, use in uses.items():
            if use.is_output and use.kind not in RELUS:
                continue  # a trained net is confident
            last = self._last.get(key)
            share = (use if last is None else use.and_(last)).share if use.kind in RELUS else use.share
            first = self._first.setdefault(key, share)
            severity: Severity | None = "severe" if share >= SEVERE else None
            if severity is None and share >= WARNING and share - first >= WARNING:
                severity = "warning"
            if severity is not None:
                yield _sign(use, share, first, severity)
        self._last = uses


def _sign(use: Use, share: float, first: float, severity: Severity) -> Sign:
    where = use.layer or "the inputs"
    if use.kind in RELUS:
        cause, now, before = "dead_relus", "dead_now", "dead_at_first"
        why = f"{share:.0%} of the units of the ReLU that follows {where} are zero for every sample ({first:.0%} at "
        why += "first): no gradient passes through them."
        change = "Lower the learning rate, standardise the inputs (mean 0), and look for biases far below 0."
    else:
        cause, now, before = "saturated_sigmoids", "saturated_now", "saturated_at_first"
        why = f"{share:.0%} of the outputs of the {use.kind} that follows {where} are within {NEAR:g} of its bounds "
        why += f"({first:.0%} at first), where its slope is almost 0 and blocks the gradient."
        change = "Lower the learning rate, or put a norm before it."
    return Sign(
        cause,
        use.layer or "inputs",
        severity,
        {now: share, before: first},
        why=why,
        change=change,
        patience=_LOOKS,
        blame=share,
    )
