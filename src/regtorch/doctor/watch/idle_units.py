"""Units of a ReLU that are off, switched on by trial: whether they stand in the way, and what brings them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import Unfit
from regtorch.doctor.watch.attempt import Attempt, attempt
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.standardised import standardised_inputs
from regtorch.doctor.watch.steps import watch_steps
from regtorch.doctor.watch.uses import Use
from regtorch.select.weight import modules_of

__all__ = ["SwitchedOn", "awake", "drawn_anew", "redrawn"]

_IN_THE_WAY = 1 / 3  # of the loss's fall with all units on: half the units learn half as fast, and that is no fault
_MOST = 0.5  # of the units


@dataclass(frozen=True)
class SwitchedOn:
    """The watched steps, as they are and with the units on that are off.

    Attributes:
        start: the loss at first.
        as_is: after the steps.
        with_all: after as many that began with the units on.
    """

    start: float
    as_is: float
    with_all: float

    @property
    def in_the_way(self) -> bool:
        """Whether the units that are off keep most of the loss from falling."""
        gained = self.start - self.with_all
        return gained <= 0 or self.start - self.as_is < _IN_THE_WAY * gained


def awake(obs: Observed, use: Use) -> SwitchedOn | None:
    """Measured by biases with which every unit that is off is on for about half of the samples.

    Without biases the sign of such a unit's weights is turned; None where the layer has no weights for each unit.
    """
    module = modules_of(obs.subject.model).get(use.layer)
    bias, weight = getattr(module, "bias", None), getattr(module, "weight", None)
    with obs.subject.restored():
        with torch.no_grad():
            if isinstance(bias, Tensor) and bias.shape == use.idle.shape:
                bias.sub_((use.idle * use.means).to(bias))
            elif isinstance(weight, Tensor) and weight.ndim > 1 and weight.shape[:1] == use.idle.shape:
                weight.mul_((1 - 2 * use.idle).to(weight).view(-1, *[1] * (weight.ndim - 1)))
            else:
                return None
        try:
            watched = watch_steps(obs.subject, obs.steps, penalties=0.0)
        except Unfit:
            return None
    free = obs.without_penalties
    found = SwitchedOn(free.mean_task_loss(slice(1)), free.last_task_loss, watched.last_task_loss)
    told = not watched.diverged and all(map(isfinite, (found.start, found.as_is, found.with_all)))
    return found if told else None


def redrawn(obs: Observed, layer: str, kind: str) -> str | None:
    """The advice to draw a layer's weights anew, where that brings back what is idle and lets the loss fall."""
    standard = standardised_inputs(obs)
    subject = obs.subject if standard is None else standard
    module = modules_of(obs.subject.model).get(layer)
    if module is None or not any(p.ndim > 1 for p in module.parameters(recurse=False)):
        return None
    found = attempt(subject, lambda _: drawn_anew([module]))
    if not found.learns or _share(found, layer, kind) >= _MOST:
        return None
    draw = "Draw new weights (He initialisation, biases at 0)"
    return f"{draw}{' and standardise the inputs' if standard is not None else ''} ({found.summary})."


@contextmanager
def drawn_anew(modules: list[nn.Module]) -> Iterator[None]:
    """With other weights by He's initialisation and biases of 0; whoever enters brings the old ones back."""
    with torch.no_grad():
        for module in modules:
            for name, p in module.named_parameters(recurse=False):
                if p.ndim > 1:
                    nn.init.kaiming_normal_(p, nonlinearity="relu", generator=torch.Generator(p.device).manual_seed(0))
                elif "bias" in name:
                    p.zero_()
    yield


def _share(found: Attempt, layer: str, kind: str) -> float:
    looks = found.watched.looks if found.watched is not None else ()
    use = looks[-1].uses.get((layer, kind)) if looks else None
    return 1.0 if use is None else use.share
