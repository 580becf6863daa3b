"""Find by a few short trainings which strengths of a penalty matter and which are too large.

All trainings share seed, batches and steps and differ in reg.lam only. Without the penalty the net improves on the best
constant output, in held-out loss and score; a strength is rated by the share of this improvement that it keeps: 1 at
strength 0, 0 at the level of a constant. The strength at which the share crosses a level is found by bisection over
log λ and interpolation, starting where the penalty's gradient equals the task's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import stdev
from time import perf_counter

from omegaconf import DictConfig

from regtorch.app.config.instantiate import instantiate
from regtorch.app.data.datamodule import training_batches
from regtorch.app.doctor.budget import plan_budget
from regtorch.app.doctor.short_run import ShortRun, TrainingOutcome, Trainings
from regtorch.app.ground.errors import RunError
from regtorch.app.run.examine import penalties_of
from regtorch.app.run.setup import SetUp
from regtorch.doctor.observe.forces import totals
from regtorch.doctor.observe.steps import watch_steps
from regtorch.doctor.observe.subject import Subject

__all__ = ["COLLAPSED", "KEPT", "MOVED", "Strength", "check_penalty", "find_strength"]

KEPT, COLLAPSED = 0.9, 0.1
"""Shares of the improvement: advised strengths keep the first, collapsing ones less than the second."""
MOVED = 0.03
"""A strength matters if it changes the task loss by more than this share and more than another seed does."""

_SURE, _SEEDS = 2.0, 3  # times the spread over so many seeds
_STEPS, _TINY = 10, 1e-9  # watched steps, and their strength, which is too small to matter
_RUNS = 14  # at most
_WIDE, _NEAR = 30.0, 5.0  # ratios of strengths: of the outward search, and below which to interpolate
_BOUNDS = 1e-6, 1e4  # of the strengths tried, relative to that of equal gradients


@dataclass(frozen=True)
class Strength:
    """Strengths of a penalty, as values of reg.lam."""

    begins: float  # where it changes the task loss by more than another seed does
    collapses: float  # where the net learns hardly more than a constant; infinite if no strength tried did
    low: float  # the advised range
    high: float
    tried: Sequence[TrainingOutcome]  # weakest first
    numbers: Mapping[str, float]
    why: str

    @property
    def ends(self) -> tuple[str, str]:
        """The advised range, as it is shown."""
        return f"{self.low:.2g}", f"{self.high:.2g}"

    def within(self, change: Sequence[str]) -> tuple[str, ...]:
        """Overrides in which a strength outside the advised range becomes the nearest that is shown."""
        return tuple(self._nearest(text) for text in change)

    def _nearest(self, text: str) -> str:
        key, _, value = text.partition("=")
        low, high = map(float, self.ends)
        if key != "reg.lam" or low <= float(value) <= high:
            return text
        end = self.ends[float(value) > high]
        return f"{key}={end}" if math.isfinite(float(end)) else text


def find_strength(overrides: Sequence[str], conf: Path, *, seconds: float) -> Strength:
    """Find at which strengths a penalty begins to matter and the net collapses; the given strength is ignored.

    Raises:
        RunError: the setup has no penalty, or learns nothing in that time without it.
    """
    started = perf_counter()
    trainings = Trainings(conf, overrides)
    equal = _equal_pull(trainings)
    budget = plan_budget(trainings, _RUNS, 0.0, started + seconds, seeds=1)

    def train(lam: float, seed: int = budget.seed) -> ShortRun:
        return trainings.run(f"λ = {lam:.3g}", [*budget.overrides, f"reg.lam={lam!r}"], steps=budget.steps, seed=seed)

    search = _Search(train, started + seconds - budget.seconds_a_run)
    without = search.at(0.0)
    if not without.learnt:
        raise RunError(
            f"strength: without the penalty the net learns nothing in {budget.described} (validation loss "
            f"{without.held.loss:.3g}, a constant's is {without.constant.loss:.3g}); fix that first, or allow more time"
        )
    search.zeros += [train(0.0, budget.seed + number) for number in range(1, _SEEDS)]
    begins = search.crossing(search.moved, 1.0, equal)
    high = search.crossing(search.lost, 1 - KEPT, equal)
    collapses = search.crossing(search.lost, 1 - COLLAPSED, equal)
    low, count = min(begins, high), len(search.runs) + len(search.zeros)
    numbers = {
        "equal_gradients": equal,
        "loss_without": without.held.loss,
        "loss_of_constant": without.constant.loss,
        "steps": float(without.steps),
        "runs": float(count),
        "seconds": perf_counter() - started,
    }
    end = "does not collapse at any strength tried" if math.isinf(collapses) else f"collapses at {collapses:.1g}"
    return Strength(
        begins,
        collapses,
        low,
        high,
        [search.runs[lam].outcome for lam in sorted(search.runs)],
        numbers,
        f"it matters from λ = {begins:.1g}, keeps {KEPT:.0%} of what is learnt without it up to {high:.1g}; the net "
        f"{end} (one seed, {budget.described}, {count} trainings); longer trainings lower all three",
    )


def check_penalty(cfg: DictConfig, choices: Mapping[str, str]) -> None:
    """Raise RunError unless the setup has a penalty."""
    if cfg.reg.penalty is None:
        raise RunError(f"strength: reg={choices.get('reg')} has no penalty; choose reg=l2, l1, l1l2 or group_lasso")


def _equal_pull(trainings: Trainings) -> float:
    """The strength at which the penalty's gradient equals the task's, over the first steps without it."""
    found: list[float] = []
    cfg, choices = trainings.config()
    check_penalty(cfg, choices)

    def measure(setup: SetUp) -> None:
        batches = [*islice(training_batches(setup.data, next(setup.net.parameters()).device), _STEPS)]
        optimizer = instantiate(cfg.optimizer)(setup.net.parameters())
        subject = Subject.admit(setup.net, setup.train_loss, batches, optimizer, penalties_of(setup))
        steps = watch_steps(subject, _STEPS).steps
        penalty, task = totals(forces for step in steps for forces in step.forces.values())
        found.append(_TINY * task / penalty if penalty and task else 1.0)

    trainings.run("trial", [f"reg.lam={_TINY}"], steps=1, prepare=measure)
    return found[0]


@dataclass
class _Search:
    """Trains once per strength; `zeros` are runs at strength 0 with other seeds."""

    train: Callable[[float], ShortRun]
    deadline: float
    runs: dict[float, ShortRun] = field(default_factory=dict)
    zeros: list[ShortRun] = field(default_factory=list)

    def at(self, lam: float) -> ShortRun:
        if lam not in self.runs:
            self.runs[lam] = self.train(lam)
        return self.runs[lam]

    def lost(self, lam: float) -> float:
        """The share of the improvement that is lost with the penalty, by loss or score."""
        zero, run = self.at(0.0), self.at(lam)
        learnt = zero.held.score - zero.constant.score, zero.constant.loss - zero.held.loss
        lost = zero.held.score - run.held.score, run.held.loss - zero.held.loss
        return max(a / b if b > 0 else 0.0 for a, b in zip(lost, learnt, strict=True))

    def moved(self, lam: float) -> float:
        """The change of the training or held-out loss due to the penalty; 1 is significant."""
        zero, run = self.at(0.0), self.at(lam)
        pairs = [(zero.outcome.train_loss, run.outcome.train_loss), (zero.held.loss, run.held.loss)]
        return max(abs(b - a) / max(_SURE * n, MOVED * a) for (a, b), n in zip(pairs, self._noise(), strict=True))

    def _noise(self) -> tuple[float, float]:
        """The deviation of both losses over seeds, without the penalty."""
        zeros = [self.at(0.0), *self.zeros]
        return stdev(run.outcome.train_loss for run in zeros), stdev(run.held.loss for run in zeros)

    def crossing(self, value: Callable[[float], float], level: float, start: float) -> float:
        """The strength at which `value` exceeds a level; infinite if no strength tried does."""

        def beyond(lam: float) -> bool:
            return not value(lam) <= level  # NaN: the training diverged

        known = sorted(lam for lam in self.runs if lam)
        above = min((lam for lam in known if beyond(lam)), default=math.inf)
        below = max((lam for lam in known if lam < above), default=0.0)
        while self._may() and (math.isinf(above) or not below):
            guess = (start if math.isinf(above) else above / _WIDE) if not below else below * _WIDE
            if not _BOUNDS[0] <= guess / start <= _BOUNDS[1]:
                break
            above, below = (guess, below) if beyond(guess) else (above, guess)
        if math.isinf(above) or not below:
            return above
        while self._may() and above / below > _NEAR:
            middle = math.sqrt(above * below)
            above, below = (middle, below) if beyond(middle) else (above, middle)
        low, high = value(below), value(above)
        part = (level - low) / (high - low) if math.isfinite(high) else 0.5
        return below * (above / below) ** part

    def _may(self) -> bool:
        return len(self.runs) < _RUNS and perf_counter() < self.deadline
