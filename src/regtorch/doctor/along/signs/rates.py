"""The learning rate, by how far a step moves the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, isfinite

from torch.optim import Optimizer

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import Moved, StepLook
from regtorch.doctor.measure.rate import SMALL, TINY
from regtorch.doctor.observe.lower_rate import LARGE
from regtorch.doctor.observe.optimizer_copy import number, rate_of

__all__ = ["Rates"]

_GROWN = 4.0  # times its norm at the last look: what no weight does that has been trained for some looks
_SETTLED = 3  # looks after which weights of a healthy training change slowly


class Rates:
    """`rate_too_large` and `rate_too_small`."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._moved = False  # whether any weight has ever moved visibly
        self._norms: dict[str, list[float]] = {}  # of each weight, at the last looks

    def signs(self, look: StepLook) -> Iterator[Sign]:
        found = {name: one for name, one in look.matrices.items() if one.norm and isfinite(one.after)}
        settled = {name: one for name, one in found.items() if len(self._norms.get(name, ())) >= _SETTLED}
        yield from self._large(found, settled)
        yield from self._small(look)
        self._norms = {name: [*self._norms.get(name, ())[-_SETTLED:], one.norm] for name, one in look.matrices.items()}

    def _large(self, found: Mapping[str, Moved], settled: Mapping[str, Moved]) -> Iterator[Sign]:
        ratios = {name: one.ratio for name, one in found.items() if one.undone is None}  # a constraint moves the others
        grown = {name: one.norm / last for name, one in settled.items() if (last := self._norms[name][-1])}
        least, growth = min(ratios.values(), default=0.0), min(grown.values(), default=0.0)
        if growth >= _GROWN:
            why = f"Since the last look the norms of all weights have grown at least {growth:.3g} times."
        elif least >= LARGE:
            why = f"One step moves every weight by at least {least:.2g} of its norm; about 0.001 is usual."
        else:
            return
        yield Sign(
            "rate_too_large",
            "optimizer.lr",
            "warning",
            {"smallest_update_over_weight": least, "growth_of_norms": growth, **self._rate()},
            why=f"{why} Training forgets what it has learnt.",
            change="Lower the learning rate, or undo what raised it: a schedule, a scaled loss, a change of the group.",
            patience=1 if settled else _SETTLED,
        )

    def _small(self, look: StepLook) -> Iterator[Sign]:
        largest = max((one.ratio for one in look.matrices.values()), default=inf)
        self._moved = self._moved or largest >= SMALL
        if self._moved and look.matrices and not any(one.update for one in look.weights.values()):
            yield self._stopped()
        groups = self._optimizer.param_groups
        warming = any(rate_of(group) != number(group.get("lr")) for group in groups)
        if self._moved or warming or not look.matrices:
            return
        yield Sign(
            "rate_too_small",
            "optimizer.lr",
            "severe" if largest < TINY else "warning",
            {"largest_update_over_weight": largest, **self._rate()},
            why=f"In no step looked at has a weight moved by more than {SMALL:g} of its norm; about 0.001 is usual.",
            change="Use a larger learning rate, or an optimizer that normalises the gradient, such as Adam.",
            patience=10,
        )

    def _stopped(self) -> Sign:
        rates = [number(group.get("lr")) for group in self._optimizer.param_groups]
        if any(rates):
            why, change = "each is lost in rounding", "Train with weights in float32 (autocast keeps them so)"
        else:
            why, change = "the learning rate is 0", "End the training, or let the schedule end at a rate above 0"
        return Sign(
            "rate_too_small",
            "optimizer.lr",
            "warning",
            {"largest_update_over_weight": 0.0, **self._rate()},
            why=f"Gradients are not 0, but no step moves any weight: {why}.",
            change=f"{change}.",
            patience=10,
        )

    def _rate(self) -> dict[str, float]:
        rates = {number(group.get("lr")) for group in self._optimizer.param_groups}
        return {"lr": rates.pop()} if len(rates) == 1 else {}
