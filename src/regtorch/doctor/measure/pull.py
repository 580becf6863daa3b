"""The sources that pull weights away from the task, penalties or the optimizer's decay, and their effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot, inf, isfinite, log, log1p
from statistics import fmean

from torch import nn

from regtorch.doctor.causes import Severity
from regtorch.doctor.measure.reach import unreached
from regtorch.doctor.observe.forces import Forces, totals
from regtorch.doctor.observe.observed import Observed
from regtorch.doctor.observe.steps import Step, WatchedSteps, watch_steps

__all__ = ["LATE", "RATIO", "SHARE", "Measured", "Pull", "Source"]

RATIO = 0.3, 0.1
"""Severe, warning: the source's gradient relative to the task's."""
SHARE = 0.5, 0.2
"""Severe, warning: its share of the loss."""
LATE = 10_000
"""Half-life in steps that a training hardly reaches."""
_HALF = 0.5  # of the norm that a weight has after the watched steps without the source, or before them
_SOON = 300  # half-life in steps, reached in the first epochs


@dataclass(frozen=True)
class Pull:
    """What a source does to one weight in the watched steps."""

    cosine: float  # between its gradient and the task's, mean over the steps; 0 if undefined
    norm: float  # before the first step
    after: float  # after the last step
    without: float  # after the last step, without the source
    shrink: float  # the share of the norm lost per step to the source alone
    equilibrium: float  # the norm at which growth without the source balances shrinking; infinite without shrinking

    @property
    def half_life(self) -> float:
        """Steps after which the source alone has halved the norm."""
        return log(0.5) / log1p(-self.shrink) if 0 < self.shrink < 1 else (0.0 if self.shrink else inf)


@dataclass(frozen=True)
class Measured:
    """What a source does in watched steps."""

    shares: Sequence[float]  # of the loss, in each step
    ratio: float  # its gradient relative to the task's, over all weights together
    pulls: Mapping[str, Pull]  # by weight
    worst: str  # the weight with the strongest pull

    @property
    def share(self) -> float:
        return fmean(self.shares)

    @property
    def half_life(self) -> float:
        return self.pulls[self.worst].half_life

    @property
    def emptied(self) -> Sequence[str]:
        """The weights that lose more than half of their norm to it."""
        return [name for name, pull in self.pulls.items() if pull.after < _HALF * pull.without]

    @property
    def were_small(self) -> bool:
        """Whether those weights hardly shrink in the watched steps, taken together: they were small before."""
        emptied = [self.pulls[name] for name in self.emptied]
        return hypot(*(pull.after for pull in emptied)) >= _HALF * hypot(*(pull.norm for pull in emptied))

    @property
    def severity(self) -> Severity | None:
        # A share that is small at first and grows means that the task's loss falls: the net learns anyway.
        if self.ratio >= RATIO[0] or (min(self.shares[0], self.share) >= SHARE[0] and self.half_life <= _SOON):
            return "severe"
        large = self.ratio >= RATIO[1] or self.share >= SHARE[1]
        return "warning" if large and self.half_life <= LATE else None


@dataclass(frozen=True)
class Source:
    """The penalties on weights, or the optimizer's own weight decay (`decay`)."""

    obs: Observed
    decay: bool

    @cached_property
    def without(self) -> WatchedSteps:
        """The watched steps without the source."""
        return self.obs.without_decay if self.decay else self.obs.without_penalties

    def at(self, part: float, steps: int, factor: float = 1.0) -> WatchedSteps:
        """Steps with a part of the source's strength, and `factor` times the learning rate."""
        penalties, decay = (1.0, part) if self.decay else (part, 1.0)
        return watch_steps(self.obs.subject, steps, penalties=penalties, decay=decay, factor=factor)

    def forces(self, step: Step) -> Mapping[str, Forces]:
        """The forces on its weights in one step; decays are measured in some steps only."""
        return step.decays if self.decay else step.forces

    @property
    def scale_changes(self) -> Mapping[str, float]:
        return self.obs.scale_changes_of_decayed if self.decay else self.obs.scale_changes

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The parameters that it can act on, by name."""
        return self.obs.subject.trained if self.decay else self.obs.subject.penalised

    @cached_property
    def weights(self) -> Sequence[str]:
        """The weights that it acts on and that have a gradient of the task."""
        names = self.obs.subject.decays if self.decay else self.obs.subject.penalised
        known = {name for step in self.obs.with_rules.steps[:1] for name in self.forces(step)}
        alone = unreached(self.obs)
        return [name for name in names if name in known and name not in alone]

    def measured(self, watched: WatchedSteps) -> Measured | None:
        """Its effect in watched steps; None if the first loss is not finite, or it acts on nothing."""
        if not watched.steps or not self.weights or not self.without.steps:
            return None
        return Measured(
            self.shares(watched),
            self.ratio(watched),
            {name: self._pull(name, watched) for name in self.weights},
            max(self.weights, key=lambda n: sum(f[n].penalty for s in watched.steps if n in (f := self.forces(s)))),
        )

    def ratio(self, watched: WatchedSteps) -> float:
        """Its gradient relative to the task's, over all weights together."""
        found = (forces for step in watched.steps for name, forces in self.forces(step).items() if name in self.weights)
        pull, task = totals(found)
        return pull / task if task else inf if pull else 0.0

    def shares(self, watched: WatchedSteps) -> Sequence[float]:
        """Its share of the loss in each measured step."""
        return [share for step in watched.steps if (share := self._share(step)) is not None]

    def _share(self, step: Step) -> float | None:
        """Its share of a step's loss; None if not measured. A decoupled decay is no part of a loss."""
        decays, found = self.obs.subject.decays, self.forces(step)
        if not self.decay:
            value = sum(step.penalties.get(name, 0.0) for name in self.weights)
        elif found:  # ½ · decay · ‖w‖², of which decay · w is the gradient
            coupled = [name for name in self.weights if name in found and not decays[name].decoupled]
            value = sum(0.5 * found[name].penalty * found[name].norm for name in coupled)
        else:
            return None
        total = value + abs(step.task_loss)
        return 1.0 if not isfinite(total) else value / total if total else 0.0

    def _pull(self, name: str, watched: WatchedSteps) -> Pull:
        forces = [found[name] for step in watched.steps if name in (found := self.forces(step))]
        steps = min(len(watched.steps), len(self.without.steps))
        before, after, free = forces[0].norm, watched.norms[name], self.without.norms[name]
        shrink = max(0.0, 1 - (after / free) ** (1 / steps)) if free > after > 0 else float(free > after)
        growth = (free - before) / steps
        cosines = [f.cosine for f in forces if isfinite(f.cosine)]
        return Pull(
            cosine=fmean(cosines) if cosines else 0.0,
            norm=before,
            after=after,
            without=free,
            shrink=shrink,
            equilibrium=max(0.0, growth / shrink) if shrink else inf,
        )
