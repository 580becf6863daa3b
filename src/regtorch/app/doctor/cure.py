"""Proving what the doctor says: short trainings as it is, without the suspect, and with the cure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Literal

from regtorch.app.doctor.budget import Plan, plan
from regtorch.app.doctor.held_out import Held
from regtorch.app.doctor.short_run import Outcome, ShortRun, Trainings
from regtorch.app.doctor.variants import Change, Proposal, proposal
from regtorch.app.doctor.verdict import Gain, gain
from regtorch.app.ground.errors import RunError
from regtorch.doctor.finding import Finding

__all__ = ["Proof", "Verdict", "prove"]

Verdict = Literal["proved", "refuted", "undecided"]
AS_IS = Change("as is")
_SAFETY, _LONGEST = 0.7, 20  # of a longer trial: the share of the time that is left, and times the steps, at most
_MORE_SEEDS = 10  # where there is time for them and the noise leaves it open
_NOTHING_YET = "; none has learnt anything yet"
_NOISY = "; the difference is within the noise"
_FEWEST = 10  # steps


@dataclass(frozen=True)
class Proof:
    """What short trainings say of a cause.

    Attributes:
        cause: the finding's.
        as_is: the set-up as it is; where `why` speaks of the other cures, the other two outcomes have these as well.
        without: without the suspect; None where that makes no sense, or is the cure.
        cured: with the finding's change; None where it has none that can be tried.
        verdict: "proved" where one of the two learns, and does better by more than noise; "refuted" where that is
            excluded.
        why: one sentence with the numbers.
    """

    cause: str
    as_is: Outcome
    without: Outcome | None
    cured: Outcome | None
    verdict: Verdict
    why: str


def prove(overrides: Sequence[str], findings: Sequence[Finding], conf: Path, *, seconds: float) -> list[Proof]:
    """Try what the findings say, in order of blame, until the time is over.

    All trainings have the same data, seeds, batches and number of steps. What changes nothing by itself is tried once
    more beside the other cures, as one fault may hide another.

    Args:
        overrides: of train.py, the set-up.
        findings: the most to blame first; those that are neither severe nor warnings are left out.
        conf: the folder of the configs.
        seconds: for all of it.

    Returns:
        A proof for each cause.

    Raises:
        RunError: the set-up cannot be trained at all, for a reason that the user can mend.
    """
    grave = {f.cause: f for f in reversed(findings) if f.severity != "info"}
    if not grave:
        return []
    deadline = perf_counter() + seconds
    trainings = Trainings(conf, overrides)
    cfg, _ = trainings.config()
    proposals = [proposal(grave[cause], cfg) for cause in dict.fromkeys(f.cause for f in findings if f.cause in grave)]
    return _Bench(trainings, proposals, deadline).proofs()


@dataclass
class _Bench:
    """All the runs made, and what they say."""

    trainings: Trainings
    proposals: Sequence[Proposal]
    deadline: float
    plan: Plan = Plan(0, 0, 0, 0.0)
    runs: dict[Change, list[ShortRun]] = field(default_factory=dict)
    failed: dict[Change, str] = field(default_factory=dict)
    late: bool = False

    def proofs(self) -> list[Proof]:
        proofs = self._rounds()
        for p in self.proposals:
            if proofs[p.cause].verdict != "proved" and not self.late:
                proofs[p.cause] = self._beside_other_cures(p, proofs[p.cause])
        longer = self._longer([p for p in self.proposals if proofs[p.cause].why.endswith(_NOTHING_YET)])
        if longer is not None:
            proofs |= {proof.cause: proof for proof in longer.proofs() if proof.verdict == "proved"}
        self._more_seeds(proofs)
        return [proofs[p.cause] for p in self.proposals]

    def _rounds(self) -> dict[str, Proof]:
        """Try each cause by itself, a seed a round; what a round decides is left out of the next."""
        changes = list(dict.fromkeys(change for p in self.proposals for change in p.changes()))
        if not self.plan.steps:
            self.plan = plan(self.trainings, 1 + len(changes), max(p.horizon for p in self.proposals), self.deadline)
        proofs: dict[str, Proof] = {}
        rounds = self.plan.seeds if changes else 1
        for number in range(rounds):
            undecided = [p for p in self.proposals if p.cause not in proofs or proofs[p.cause].verdict == "undecided"]
            wanted = [change for p in undecided for change in p.changes()]
            if self.late or not undecided or (number and not wanted):
                break
            for change in dict.fromkeys([AS_IS, *wanted]):
                self._run(change, number)
            if number or rounds == 1 or self.late:  # one seed alone says less
                proofs |= {p.cause: self._alone(p) for p in undecided}
        return proofs

    def _more_seeds(self, proofs: dict[str, Proof]) -> None:
        """For what the noise leaves open, while there is time."""
        for number in range(self.plan.seeds, _MORE_SEEDS if self.plan.seeds > 1 else 0):
            noisy = [p for p in self.proposals if proofs[p.cause].why.endswith(_NOISY)]
            changes = list(dict.fromkeys([AS_IS, *map(self._most_telling, noisy)]))
            took = fmean(run.outcome.seconds for runs in self.runs.values() for run in runs)
            if not noisy or self.deadline - perf_counter() < len(changes) * took:
                break
            for change in changes:
                self._run(change, number)
            proofs |= {p.cause: self._alone(p) for p in noisy}

    def _most_telling(self, p: Proposal) -> Change:
        """The change that does most for the loss so far."""
        return max(p.changes(), key=lambda change: gain(self.runs[AS_IS], self.runs[change]).loss.mean)

    def _longer(self, slow: Sequence[Proposal]) -> _Bench | None:
        """One seed for what had not learnt yet, with the time that is left; None where that is no more steps."""
        settings = len({change for p in slow for change in p.changes()})
        done = [run for runs in self.runs.values() for run in runs]
        if not settings or self.late or self.plan.lengthened or AS_IS in self.failed:
            return None
        a_step = fmean(run.outcome.seconds for run in done) / self.plan.steps
        share = _SAFETY * (self.deadline - perf_counter()) / (1 + settings)
        steps = min(int(share / a_step), _LONGEST * self.plan.steps)
        if steps < 2 * self.plan.steps:
            return None
        plan = replace(self.plan, steps=steps, seeds=1, seconds_a_run=share, lengthened=True)
        return _Bench(self.trainings, slow, self.deadline, plan)

    def _run(self, change: Change, number: int) -> None:
        """Train with seed `number`, unless that is done, the time is over, or it fails."""
        done = self.runs.setdefault(change, [])
        left = self.deadline - perf_counter()
        first = change is AS_IS and number == 0  # without it there is nothing to show
        if len(done) > number or change in self.failed:
            return
        if not first and left < fmean(run.outcome.seconds for run in self.runs[AS_IS]):
            self.late = True
            return
        try:
            run = self.trainings.run(
                change.label,
                [*self.plan.overrides, *change.overrides],
                steps=self.plan.steps,
                seed=self.plan.seed + number,
                prepare=change.prepare,
                # Where steps take longer than they were tried to, the first run has fewer, and the others as many.
                seconds=self.plan.seconds_a_run if first else max(left, self.plan.seconds_a_run),
            )
        except (RunError, ValueError, RuntimeError) as error:  # such as batch norm on a batch of one
            self.failed[change] = " ".join(str(error).split())
            if change is AS_IS and not done:
                done.append(_impossible(self.failed[change]))
            return
        if run.cut and first:
            self.plan = replace(self.plan, steps=run.steps)
        elif run.cut:
            self.late = True
            return
        done.append(replace(run, outcome=replace(run.outcome, overrides=change.overrides)))

    # Verdicts

    def _alone(self, p: Proposal) -> Proof:
        return self._judge(p, AS_IS, p.without, p.cured)

    def _beside_other_cures(self, p: Proposal, alone: Proof) -> Proof:
        """Leave one cure out of all: that may prove a cause that another hides, and refutes none."""
        cures = [other.cured for other in self.proposals if other.cured is not None]
        kept: list[Change] = []
        for change in cures:
            if not any(change.touches(other) for other in kept):
                kept.append(change)
        others = [change for change in kept if p.cured is not None and not change.touches(p.cured)]
        if p.cured is None or not others:
            return alone
        base, whole = _all(others, "the other cures"), _all([p.cured, *others], "all cures")
        for number in range(self.plan.seeds):
            for change in (base, whole):
                self._run(change, number)
        proof = self._judge(p, base, None, whole, "beside the other cures, ")
        return replace(proof, without=self._mean(base)) if proof.verdict == "proved" else alone

    def _judge(
        self, p: Proposal, base: Change, without: Change | None, cured: Change | None, beside: str = ""
    ) -> Proof:
        first, tried = self.runs.get(base, []), [c for c in dict.fromkeys((without, cured)) if c is not None]
        gains = {change: gain(first, runs) for change in tried if (runs := self.runs.get(change)) and first}
        verdict, reason = self._verdict(p, first, tried, gains)
        return Proof(
            p.cause,
            self._mean(AS_IS) or first[0].outcome,
            None if without == cured else self._mean(without),
            self._mean(cured),
            verdict,
            beside + self._told(base, tried, gains) + reason,
        )

    def _verdict(
        self, p: Proposal, first: Sequence[ShortRun], tried: Sequence[Change], gains: dict[Change, Gain]
    ) -> tuple[Verdict, str]:
        if not tried:
            return "undecided", "no short training could tell"
        if gains and first[0].steps < _FEWEST and first[0].held.loss < inf:
            return "undecided", "; too few steps to tell"
        helping = [change for change in gains if gains[change].better and self._learns(change)]
        if helping:
            useless = p.cured in gains and p.cured not in helping
            return "proved", f"; the cure {p.cured.label} is not seen to help" if p.cured and useless else ""
        failures = [f"{change.label}: {self.failed[change]}" for change in tried if change in self.failed]
        if failures:
            return "undecided", "; ".join(failures)
        if len(gains) < len(tried):
            return "undecided", "; no time for more" if gains else "no time"
        if all(one.worse for one in gains.values()):
            return "refuted", "; it does worse so"
        if first[0].steps < p.horizon:
            return "undecided", f"; what it does needs {p.horizon:.0f} steps to show"
        if not any(map(self._learns, (AS_IS, *gains))):
            return "undecided", _NOTHING_YET
        if all(one.not_better for one in gains.values()):
            return "refuted", "; the difference is none that counts"
        return "undecided", _NOISY

    def _learns(self, change: Change) -> bool:
        """Whether a setting does better than a constant output, under most seeds."""
        runs = self.runs.get(change, [])
        return 2 * sum(run.learnt for run in runs) > len(runs)

    # Words

    def _mean(self, change: Change | None) -> Outcome | None:
        runs = self.runs.get(change, []) if change is not None else []
        if not runs:
            return None
        outcomes = [run.outcome for run in runs]
        return replace(
            outcomes[0],
            train_loss=fmean(o.train_loss for o in outcomes),
            val_loss=fmean(o.val_loss for o in outcomes),
            score=fmean(o.score for o in outcomes),
            seconds=sum(o.seconds for o in outcomes),
        )

    def _told(self, base: Change, tried: Sequence[Change], gains: dict[Change, Gain]) -> str:
        means = [mean for change in (base, *tried) if (mean := self._mean(change)) is not None]
        if not gains or not means:
            return ""
        runs = min(len(self.runs[change]) for change in gains)
        noise = max(one.loss.noise for one in gains.values())
        said = ", ".join(f"{_number(o.val_loss)} ({o.score_name} {o.score:.3g}) {_with(o.label)}" for o in means)
        seeds = f"{runs} seeds" if runs > 1 else "one seed"
        return f"validation loss {said}; {seeds}, {self.plan.described}, noise {_number(noise)}"


def _all(changes: Sequence[Change], label: str) -> Change:
    overrides = tuple(text for change in changes for text in change.overrides)
    return Change(label, overrides, tuple(prepare for change in changes for prepare in change.prepares))


def _with(label: str) -> str:
    return label if label == AS_IS.label or label.startswith(("without", "inputs")) else f"with {label}"


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "no finite number"


def _impossible(reason: str) -> ShortRun:
    outcome = Outcome(f"as is: {reason}", (), nan, inf, nan, "score", (), 0.0)
    lost = Held(inf, nan, [], [])
    return ShortRun(outcome, lost, inf, lost, 0.0, 0.0, 0.0, cut=False)
