"""What pulls weights away from the task, the penalties or the optimizer's decay, and what it does to each weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot, inf, isfinite, log, log1p
from statistics import fmean

from torch import nn

from regtorch.doctor.causes import Severity
from regtorch.doctor.measure.reach import unreached
from regtorch.doctor.watch.forces import Forces
from regtorch.doctor.watch.observed import Observed
from regtorch.doctor.watch.steps import Step, WatchedSteps, watch_steps

__all__ = ["LATE", "RATIO", "SHARE", "Measured", "Pull", "Source"]

RATIO = 0.3, 0.1
"""Severe, warning: the source's gradient over the task's."""
SHARE = 0.5, 0.2
"""Severe, warning: its part of the loss."""
LATE = 10_000
"""Steps to half the norm that are hardly within a training."""
_COLLAPSED = 0.5  # of the norm that a weight would have, after the few watched steps
_SOON = 300  # steps to half the norm that are within a training's first epochs


@dataclass(frozen=True)
class Pull:
    """What a source does to one weight in the watched steps.

    Attributes:
        ratio: its gradient over the task's, mean over the steps.
        ruled: the share of coordinates in which its gradient is the larger, mean over the steps.
        cosine: between the two, mean over the steps; 0 where there is none.
        norm: before the first step.
        after: after the last.
        without: after the last, without the source.
        shrink: the share of its norm that it loses in a step to the source alone.
        equilibrium: the norm at which the growth without it and that shrinking meet; infinite without shrinking.
    """

    ratio: float
    ruled: float
    cosine: float
    norm: float
    after: float
    without: float
    shrink: float
    equilibrium: float

    @property
    def half_life(self) -> float:
        """Steps until the source alone has halved the norm."""
        return log(0.5) / log1p(-self.shrink) if 0 < self.shrink < 1 else (0.0 if self.shrink else inf)


@dataclass(frozen=True)
class Measured:
    """What a source does in watched steps.

    Attributes:
        shares: its part of the loss in each step.
        ratio: its gradient over the task's, of all weights together.
        pulls: what it does to each weight.
        worst: the weight that it pulls at the most.
    """

    shares: Sequence[float]
    ratio: float
    pulls: Mapping[str, Pull]
    worst: str

    @property
    def share(self) -> float:
        """Its part of the loss, mean over the steps."""
        return fmean(self.shares)

    @property
    def half_life(self) -> float:
        """Of the weight that it pulls at the most."""
        return self.pulls[self.worst].half_life

    @property
    def emptied(self) -> Sequence[str]:
        """The weights that have lost more than half of their norm to it."""
        return [name for name, pull in self.pulls.items() if pull.after < _COLLAPSED * pull.without]

    @property
    def severity(self) -> Severity | None:
        """Whether it outweighs the task."""
        # A share that is large in the mean alone is so because the task's loss falls: it is learnt all the same.
        if self.ratio >= RATIO[0] or (min(self.shares[0], self.share) >= SHARE[0] and self.half_life <= _SOON):
            return "severe"
        large = self.ratio >= RATIO[1] or self.share >= SHARE[1]
        return "warning" if large and self.half_life <= LATE else None


@dataclass(frozen=True)
class Source:
    """What pulls: the penalties on weights, or the optimizer's own weight decay.

    Attributes:
        obs: of what is examined.
        decay: whether it is the decay.
    """

    obs: Observed
    decay: bool

    @cached_property
    def without(self) -> WatchedSteps:
        """The watched steps without it."""
        return self.obs.without_decay if self.decay else self.obs.without_penalties

    def at(self, part: float, steps: int, factor: float = 1.0) -> WatchedSteps:
        """Other steps under a part of its strength, and at another rate."""
        if self.decay:
            return watch_steps(self.obs.subject, steps, decay=part, factor=factor)
        return watch_steps(self.obs.subject, steps, penalties=part, factor=factor)

    def forces(self, step: Step) -> Mapping[str, Forces]:
        """Of one step, on the weights that it acts on; of decays in some steps alone."""
        return step.decays if self.decay else step.forces

    @property
    def scale_changes(self) -> Mapping[str, float]:
        """By how much the outputs change, relatively, when a weight that it acts on is doubled."""
        return self.obs.scale_changes_of_decayed if self.decay else self.obs.scale_changes

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The parameters of those that it could act on, by name."""
        return self.obs.subject.trained if self.decay else self.obs.subject.penalised

    @cached_property
    def weights(self) -> Sequence[str]:
        """The weights that it acts on and that the task reaches."""
        names = self.obs.subject.decays if self.decay else self.obs.subject.penalised
        known = {name for step in self.obs.with_rules.steps[:1] for name in self.forces(step)}
        alone = unreached(self.obs)
        return [name for name in names if name in known and name not in alone]

    def measured(self, watched: WatchedSteps) -> Measured | None:
        """What it does in watched steps; None where the loss is not finite at once, or it acts on nothing."""
        if not watched.steps or not self.weights or not self.without.steps:
            return None
        return Measured(
            self.shares(watched),
            self.ratio(watched),
            {name: self._pull(name, watched) for name in self.weights},
            max(self.weights, key=lambda n: sum(f[n].penalty for s in watched.steps if n in (f := self.forces(s)))),
        )

    def ratio(self, watched: WatchedSteps) -> float:
        """Its gradient over the task's, of all weights together."""
        found = [forces for step in watched.steps for name, forces in self.forces(step).items() if name in self.weights]
        pull, task = (hypot(*(getattr(one, what) for one in found)) for what in ("penalty", "task"))
        return pull / task if task else inf if pull else 0.0

    def shares(self, watched: WatchedSteps) -> Sequence[float]:
        """Its part of the loss in each step that was looked at."""
        return [share for step in watched.steps if (share := self._share(step)) is not None]

    def _share(self, step: Step) -> float | None:
        """Its part of a step's loss; None where it was not looked at. A decoupled decay is no part of a loss."""
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
            ratio=fmean(f.penalty / f.task if f.task else (inf if f.penalty else 0.0) for f in forces),
            ruled=fmean(f.ruled for f in forces),
            cosine=fmean(cosines) if cosines else 0.0,
            norm=before,
            after=after,
            without=free,
            shrink=shrink,
            equilibrium=max(0.0, growth / shrink) if shrink else inf,
        )
