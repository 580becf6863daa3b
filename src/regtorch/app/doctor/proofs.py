"""Prove findings by short trainings: as is, without the suspected cause, and with the advised change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Literal

from regtorch.app.doctor.budget import Budget, plan_budget
from regtorch.app.doctor.held_out import Held
from regtorch.app.doctor.short_run import ShortRun, TrainingOutcome, Trainings
from regtorch.app.doctor.variants import Change, Proposal, proposal
from regtorch.app.doctor.verdict import Gain, gain
from regtorch.app.ground.errors import RunError
from regtorch.doctor.finding import Finding

__all__ = ["Proof", "Verdict", "prove"]

Verdict = Literal["proved", "refuted", "undecided"]
AS_IS = Change("as is")
_SAFETY, _LONGEST = 0.7, 20  # of a longer training: share of the remaining time, and times the steps
_MORE_SEEDS = 10  # if time permits and noise hides the difference
_NOTHING_YET = "; none has learnt anything yet"
_NOISY = "; the difference is within the noise"
_FEWEST = 10  # steps


@dataclass(frozen=True)
class Proof:
    """The result of short trainings about a cause: does removing or changing it help by more than noise?"""

    cause: str
    as_is: TrainingOutcome  # if `why` names the other changes, `without` and `cured` include these
    without: TrainingOutcome | None  # without the suspected cause; None if impossible, or equal to `cured`
    cured: TrainingOutcome | None  # with the advised change; None if it cannot be tried
    verdict: Verdict
    why: str  # one sentence with the numbers


def prove(overrides: Sequence[str], findings: Sequence[Finding], conf: Path, *, seconds: float) -> list[Proof]:
    """Test severe findings and warnings, most important first, until the time is over; one proof per cause.

    All trainings use the same data, seeds, batches and number of steps. A change that has no effect by itself is tried
    again together with the other changes, as one fault may hide another.

    Raises:
        RunError: the setup cannot be trained at all, for a reason that the user can fix.
    """
    by_cause: dict[str, Finding] = {}
    for finding in findings:
        if finding.severity != "info":
            by_cause.setdefault(finding.cause, finding)
    if not by_cause:
        return []
    deadline = perf_counter() + seconds
    trainings = Trainings(conf, overrides)
    cfg, _ = trainings.config()
    return _Experiments(trainings, [proposal(finding, cfg) for finding in by_cause.values()], deadline).proofs()


@dataclass
class _Experiments:
    """The runs so far, and the conclusions from them."""

    trainings: Trainings
    proposals: Sequence[Proposal]
    deadline: float
    budget: Budget = Budget(0, 0, 0, 0.0)
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
        """Try each cause by itself, one seed per round, skipping causes already decided."""
        changes = list(dict.fromkeys(change for p in self.proposals for change in p.changes()))
        if not self.budget.steps:
            horizon = max(p.horizon for p in self.proposals)
            self.budget = plan_budget(self.trainings, 1 + len(changes), horizon, self.deadline)
        proofs: dict[str, Proof] = {}
        rounds = self.budget.seeds if changes else 1
        for number in range(rounds):
            undecided = [p for p in self.proposals if p.cause not in proofs or proofs[p.cause].verdict == "undecided"]
            wanted = [change for p in undecided for change in p.changes()]
            if self.late or not undecided or (number and not wanted):
                break
            for change in dict.fromkeys([AS_IS, *wanted]):
                self._run(change, number)
            if number or rounds == 1 or self.late:  # wait for a second seed if there is one
                proofs |= {p.cause: self._alone(p) for p in undecided}
        return proofs

    def _more_seeds(self, proofs: dict[str, Proof]) -> None:
        """Run more seeds for differences within the noise, while time permits."""
        for number in range(self.budget.seeds, _MORE_SEEDS if self.budget.seeds > 1 else 0):
            noisy = [p for p in self.proposals if proofs[p.cause].why.endswith(_NOISY)]
            changes = list(dict.fromkeys([AS_IS, *map(self._most_helpful, noisy)]))
            took = fmean(run.outcome.seconds for runs in self.runs.values() for run in runs)
            if not noisy or self.deadline - perf_counter() < len(changes) * took:
                break
            for change in changes:
                self._run(change, number)
            proofs |= {p.cause: self._alone(p) for p in noisy}

    def _most_helpful(self, p: Proposal) -> Change:
        return max(p.changes(), key=lambda change: gain(self.runs[AS_IS], self.runs[change]).loss.mean)

    def _longer(self, slow: Sequence[Proposal]) -> _Experiments | None:
        """Use the remaining time for longer trainings, with one seed, of what has not learnt yet."""
        settings = len({change for p in slow for change in p.changes()})
        done = [run for runs in self.runs.values() for run in runs]
        if not settings or self.late or self.budget.lengthened or AS_IS in self.failed:
            return None
        a_step = fmean(run.outcome.seconds for run in done) / self.budget.steps
        share = _SAFETY * (self.deadline - perf_counter()) / (1 + settings)
        steps = min(int(share / a_step), _LONGEST * self.budget.steps)
        if steps < 2 * self.budget.steps:
            return None
        budget = replace(self.budget, steps=steps, seeds=1, seconds_a_run=share, lengthened=True)
        return _Experiments(self.trainings, slow, self.deadline, budget)

    def _run(self, change: Change, number: int) -> None:
        """Train with the seed of this number, unless already done, failed or out of time."""
        done = self.runs.setdefault(change, [])
        left = self.deadline - perf_counter()
        first = change is AS_IS and number == 0  # always run: all others are compared with it
        if len(done) > number or change in self.failed:
            return
        if not first and left < fmean(run.outcome.seconds for run in self.runs[AS_IS]):
            self.late = True
            return
        try:
            run = self.trainings.run(
                change.label,
                [*self.budget.overrides, *change.overrides],
                steps=self.budget.steps,
                seed=self.budget.seed + number,
                prepare=change.prepare,
                # If steps are slower than estimated, the first run is cut and sets the number for the others.
                seconds=self.budget.seconds_a_run if first else max(left, self.budget.seconds_a_run),
            )
        except (RunError, ValueError, RuntimeError) as error:  # such as batch norm on a batch of one
            self.failed[change] = " ".join(str(error).split())
            if change is AS_IS and not done:
                done.append(_impossible(self.failed[change]))
            return
        if run.cut and first:
            self.budget = replace(self.budget, steps=run.steps)
        elif run.cut:
            self.late = True
            return
        done.append(replace(run, outcome=replace(run.outcome, overrides=change.overrides)))

    # Verdicts

    def _alone(self, p: Proposal) -> Proof:
        return self._judge(p, AS_IS, p.without, p.cured)

    def _beside_other_cures(self, p: Proposal, alone: Proof) -> Proof:
        """Leave one change out of all: this can prove a cause hidden by another, but refutes none."""
        changes: list[Change] = []
        for change in (p.cured, *(other.cured for other in self.proposals)):
            if change is not None and not any(change.touches(other) for other in changes):
                changes.append(change)
        if p.cured is None or len(changes) < 2:
            return alone
        base, combined = _all(changes[1:], "the other changes"), _all(changes, "all changes")
        for number in range(self.budget.seeds):
            for change in (base, combined):
                self._run(change, number)
        proof = self._judge(p, base, None, combined, "beside the other changes, ")
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
            beside + self._figures(base, tried, gains) + reason,
        )

    def _verdict(
        self, p: Proposal, first: Sequence[ShortRun], tried: Sequence[Change], gains: dict[Change, Gain]
    ) -> tuple[Verdict, str]:
        if not tried:
            return "undecided", "no short training can decide"
        if gains and first[0].steps < _FEWEST and first[0].held.loss < inf:
            return "undecided", "; too few steps to decide"
        helping = [change for change in gains if gains[change].better and self._learns(change)]
        if helping:
            useless = p.cured in gains and p.cured not in helping
            return "proved", f"; the change {p.cured.label} does not visibly help" if p.cured and useless else ""
        failures = [f"{change.label}: {self.failed[change]}" for change in tried if change in self.failed]
        if failures:
            return "undecided", "; ".join(failures)
        if len(gains) < len(tried):
            return "undecided", "; no time for more" if gains else "no time"
        if all(found.worse for found in gains.values()):
            return "refuted", "; it does worse then"
        if first[0].steps < p.horizon:
            return "undecided", f"; its effect needs {p.horizon:.0f} steps to show"
        if not any(map(self._learns, (AS_IS, *gains))):
            return "undecided", _NOTHING_YET
        if all(found.not_better for found in gains.values()):
            return "refuted", "; the difference is negligible"
        return "undecided", _NOISY

    def _learns(self, change: Change) -> bool:
        """Whether a setting beats a constant output for most seeds."""
        runs = self.runs.get(change, [])
        return 2 * sum(run.learnt for run in runs) > len(runs)

    # Words

    def _mean(self, change: Change | None) -> TrainingOutcome | None:
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

    def _figures(self, base: Change, tried: Sequence[Change], gains: dict[Change, Gain]) -> str:
        means = [mean for change in (base, *tried) if (mean := self._mean(change)) is not None]
        if not gains or not means:
            return ""
        runs = min(len(self.runs[change]) for change in gains)
        noise = max(found.loss.noise for found in gains.values())
        results = ", ".join(f"{_number(o.val_loss)} ({o.score_name} {o.score:.3g}) {_with(o.label)}" for o in means)
        seeds = f"{runs} seeds" if runs > 1 else "one seed"
        return f"validation loss {results}; {seeds}, {self.budget.described}, noise {_number(noise)}"


def _all(changes: Sequence[Change], label: str) -> Change:
    overrides = tuple(text for change in changes for text in change.overrides)
    return Change(label, overrides, tuple(prepare for change in changes for prepare in change.prepares))


def _with(label: str) -> str:
    return label if label == AS_IS.label or label.startswith(("without", "inputs")) else f"with {label}"


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "not finite"


def _impossible(reason: str) -> ShortRun:
    outcome = TrainingOutcome(f"as is: {reason}", (), nan, inf, nan, "score", (), 0.0)
    lost = Held(inf, nan, [], [])
    return ShortRun(outcome, lost, inf, lost, 0.0, 0.0, 0.0, cut=False)
