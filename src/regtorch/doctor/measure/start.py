"""Initial weights whose size makes the first outputs far worse than a guess, or lets no signal pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite, prod

import torch
from torch import Tensor, nn

from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding, fmt, listed
from regtorch.doctor.measure.dead_units import are_idle, are_idle_at_first
from regtorch.doctor.observe.idle_units import restarted
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.starting_point import WIDE, gain, has_learnt, has_stepped, tables_of
from regtorch.init import NORMS

__all__ = ["NARROW", "find"]

_WORSE, _FAR_WORSE = 2.5, 15.0  # times the loss of outputs that are all 0
_WIDE = 4.0  # gain of a layer's weights, 1 keeps the size of a signal, of which no initialisation has more than 1.5
_RECURRENT = 2.5  # gain of weights that are applied at every step of a sequence
_LOW = 0.2  # gain below that of all common initialisations, of which several layers are as bad as one narrow one
NARROW = 0.02
"""Gain of weights that let hardly any signal pass."""


def find(obs: Observed) -> Iterator[Finding]:
    """`start_too_large` and `start_too_small`; none of a net that has learnt."""
    gains = {name: gain(p) for name, p in obs.subject.trained.items() if p.ndim > 1}
    found = [*_large(obs, gains), *_small(obs, gains)]
    if found and not has_learnt(obs):
        yield from found


def _large(obs: Observed, gains: Mapping[str, float]) -> Iterator[Finding]:
    output, target = obs.outputs[0], obs.subject.batches[0][1]
    if (
        obs.targets is None
        or not isinstance(output, Tensor)
        or not output.is_floating_point()
        or not obs.loss.uses_targets
    ):
        return
    zero, start = obs.loss.cost(torch.zeros_like(output), target), obs.loss.value
    logits = obs.loss.is_cross_entropy or obs.loss.takes_logits or obs.loss.task == "numbers"
    if not logits or zero is None or not zero > 0 or not isfinite(start):
        return
    if start < _WORSE * zero:
        yield from _unequal(obs, gains)
        return
    wide = sorted((name for name, value in gains.items() if value > _WIDE), key=lambda name: -gains[name])
    random = restarted(obs)
    if not wide and not (random.learns and random.before < start / 2):
        return
    named = f"; the weights of {listed(wide)} multiply a signal's size by {gains[wide[0]]:.3g}" if wide else ""
    yield Finding(
        "start_too_large",
        listed(wide) if wide else "initial weights",
        _severity(obs, start, zero),
        {"loss": start, "loss_of_zeros": zero, **({"gain": gains[wide[0]]} if wide else {})},
        why=f"Before the first step the loss is {fmt(start)}, and outputs of 0 would cost {fmt(zero)}{named}.",
        change=f"Initialise weights with a variance of 2 / fan_in (He) or 1 / fan_in ({random.summary}).",
        blame=start / zero,
    )


def _severity(obs: Observed, start: float, zero: float) -> Severity:
    """Info if the watched steps repair the start, so that little is left of it."""
    if obs.without_penalties.last_task_loss < min(start / 2, _WORSE * zero) and not are_idle(obs):
        return "info"
    return "severe" if start > _FAR_WORSE * zero or are_idle_at_first(obs) else "warning"


def _unequal(obs: Observed, gains: Mapping[str, float]) -> Iterator[Finding]:
    """A layer whose weights are far larger than an initialisation's, in a net whose first loss is normal."""
    tables = tables_of(obs.subject.model)
    wide = [n for n, value in gains.items() if value > WIDE and id(obs.subject.trained[n]) not in tables]
    wide += [n for n, value in gains.items() if n not in wide and value > _RECURRENT and "weight_hh" in n]
    if not wide or _has_norms(obs):
        return
    wide.sort(key=lambda name: -gains[name])
    usual = sorted(gains.values())[len(gains) // 2]
    random = restarted(obs)
    yield Finding(
        "start_too_large",
        listed(wide),
        "severe" if are_idle_at_first(obs) and random.learns else "warning",
        {"gain": gains[wide[0]], "median_gain": usual},
        why=f"The initial weights of {listed(wide)} multiply a signal's size by {gains[wide[0]]:.3g}, and 1 keeps it: "
        "activations behind them are too large, and steps of a usual size change them too slowly.",
        change=f"Initialise weights with a variance of 2 / fan_in (He) or 1 / fan_in ({random.summary}).",
        blame=gains[wide[0]],
    )


def _small(obs: Observed, gains: Mapping[str, float]) -> Iterator[Finding]:
    """Weights so small that signals and gradients die between the layers; zeros are left to other findings."""
    if _has_norms(obs) or (has_stepped(obs) and _shrinks(obs)):
        return
    names = [name for name, value in gains.items() if 0 < value < NARROW]
    if len(names) < 2:  # one small head is a common choice
        names = [name for name, value in gains.items() if 0 < value < _LOW]
        if prod(gains[name] for name in names) > NARROW**2:  # what two such layers let pass
            return
    random = restarted(obs)
    least = min(gains[name] for name in names)
    yield Finding(
        "start_too_small",
        listed(names),
        "warning" if obs.without_penalties.falls else "severe",
        {"weights": len(names), "gain": least},
        why=f"The initial weights of {len(names)} layers multiply a signal's size by {least:.1e} or little more: after "
        "them the outputs are the same for all inputs, and gradients vanish on the way back.",
        change=f"Initialise weights with a variance of 2 / fan_in (He) or 1 / fan_in ({random.summary}).",
        blame=1 / least,
    )


def _shrinks(obs: Observed) -> bool:
    """Whether steps make weights smaller, and so may have made them small."""
    return bool(obs.subject.penalised or obs.subject.decays)


def _has_norms(obs: Observed) -> bool:
    """Whether a norm restores a signal's size."""
    return any(isinstance(m, NORMS) for m in _modules(obs))


def _modules(obs: Observed) -> list[nn.Module]:
    return list(obs.subject.model.modules())
