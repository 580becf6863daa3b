"""Idle units of a ReLU: do they slow training down, and what reactivates them?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import Unfit
from regtorch.doctor.observe.attempt import Attempt, attempt
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.standardised import standardised_inputs
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.uses import Use
from regtorch.select.weight import modules_of

__all__ = ["SwitchedOn", "awake", "redrawn", "reinitialised", "restarted"]

_HARMLESS = 1 / 3  # of the loss reduction with all units active: half the units may learn half as fast
_MOST = 0.5  # share of units still idle


@dataclass(frozen=True)
class SwitchedOn:
    """Losses of the watched steps, as they are and with idle units activated first."""

    start: float
    as_is: float
    with_all: float

    @property
    def idle_units_matter(self) -> bool:
        gained = self.start - self.with_all
        return gained <= 0 or self.start - self.as_is < _HARMLESS * gained


def awake(obs: Observed, use: Use) -> SwitchedOn | None:
    """Train with biases that make every idle unit active for about half of the samples.

    Without biases, flip the signs of such a unit's weights; None if the layer has no weights per unit.
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
    finite = not watched.diverged and all(map(isfinite, (found.start, found.as_is, found.with_all)))
    return found if finite else None


def redrawn(obs: Observed, layer: str, kind: str) -> str | None:
    """The advice to reinitialise a layer, if that reactivates its units and lowers the loss."""
    standard = standardised_inputs(obs)
    subject = obs.subject if standard is None else standard
    module = modules_of(obs.subject.model).get(layer)
    if module is None or not any(p.ndim > 1 for p in module.parameters(recurse=False)):
        return None
    found = attempt(subject, lambda _: reinitialised([module]))
    use = found.use_of(layer, kind)
    if not found.learns or use is None or use.share >= _MOST:
        return None
    draw = "Reinitialise the weights (He, biases at 0)"
    return f"{draw}{' and standardise the inputs' if standard is not None else ''} ({found.summary})."


def restarted(obs: Observed) -> Attempt:
    """Train with all weights reinitialised."""
    return attempt(obs.subject, lambda model: reinitialised(list(model.modules())))


@contextmanager
def reinitialised(modules: list[nn.Module]) -> Iterator[None]:
    """Apply He initialisation and zero biases; the caller restores the old weights."""
    with torch.no_grad():
        for module in modules:
            for name, p in module.named_parameters(recurse=False):
                if p.ndim > 1:
                    nn.init.kaiming_normal_(p, nonlinearity="relu", generator=torch.Generator(p.device).manual_seed(0))
                elif "bias" in name:
                    p.zero_()
    yield
