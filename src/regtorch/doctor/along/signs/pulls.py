"""Penalties and decay: stronger than the task, or emptying weights."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from math import inf, log

from torch.optim import Optimizer

from regtorch.doctor.along.course import Sign
from regtorch.doctor.along.step_look import StepLook
from regtorch.doctor.observe.forces import Forces, totals
from regtorch.doctor.observe.optimizer_copy import number

__all__ = ["Collapses", "Dominance"]

_SOON = 300  # steps
_STRONG, _STRONGER = 1.0, 3.0  # times the task's gradient: near a minimum the two are equal
_WANTED = 0.1  # cosine between the gradients of penalty and task from which both shrink the weight


def _half_life(earlier: float, now: float, steps: int) -> float:
    return inf if now >= earlier or not steps else steps * log(2) / log(earlier / now) if now else 0.0


class Collapses:
    """`collapse`: the norm of a weight halves soon, under a penalty or weight decay."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._norms: dict[str, deque[tuple[int, float]]] = {}
        self.forces: Mapping[str, Forces] = {}  # at the last look at penalties

    def signs(self, look: StepLook) -> Iterator[Sign]:
        decays = any(number(group.get("weight_decay")) for group in self._optimizer.param_groups)
        for name, one in look.weights.items():
            if not one.matrix or not one.norm < inf:
                continue
            past = self._norms.setdefault(name, deque())
            while past and past[-1][1] < one.norm:  # what comes later and is larger hides what came before
                past.pop()
            past.append((look.step, one.norm))
            while look.step - past[0][0] > _SOON:
                past.popleft()
            force = self.forces.get(name)
            pulled = force is not None and force.penalty > 0 and not force.cosine > _WANTED
            at, most = past[0]
            if most and one.norm < most / 2 and (pulled or (decays and force is None)):
                half = _half_life(most, one.norm, look.step - at)
                yield Sign(
                    "collapse",
                    name,
                    "severe",
                    {"norm": one.norm, "norm_before": most, "half_life_in_steps": half},
                    why=f"The norm of {name} fell from {most:.3g} at step {at} to {one.norm:.3g} at step {look.step} "
                    f"under {'the penalty' if pulled else 'weight decay'}: it halves in {half:.3g} steps.",
                    change="Lower the strength to a tenth, or leave these weights out.",
                    patience=2,
                    blame=most / max(one.norm, 1e-30),
                )


class Dominance:
    """`penalty_dominates`: the gradient of the penalties exceeds the task's while norms fall fast."""

    def __init__(self) -> None:
        self._norms: dict[str, tuple[int, float]] = {}

    def signs(self, look: StepLook) -> Iterator[Sign]:
        pull, task = totals(look.forces.values())
        name = max(look.forces, key=lambda n: look.forces[n].penalty, default="")
        if name and pull >= _STRONG * task and pull:
            one = look.weights[name]
            before = self._norms.get(name, (look.step - 1, one.norm))
            half = min(_half_life(before[1], one.norm, look.step - before[0]), _half_life(one.norm, one.after, 1))
            if half <= _SOON and not look.forces[name].cosine > _WANTED:
                ratio = pull / task if task else inf
                yield Sign(
                    "penalty_dominates",
                    name,
                    "severe" if ratio >= _STRONGER else "warning",
                    {"gradient_ratio": ratio, "half_life_in_steps": half, "norm": one.norm},
                    why=f"The gradient of the penalties is {ratio:.3g} times the task's, and the norm of {name} halves "
                    f"in {half:.3g} steps.",
                    change="Lower the strength to a tenth, or the factor that its schedule has reached.",
                    patience=2,
                )
        self._norms = {n: (look.step, look.weights[n].norm) for n in look.forces}
