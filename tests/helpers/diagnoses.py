"""Diagnoses made by hand: findings, proofs and an advised strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from omegaconf import OmegaConf

from regtorch.app.doctor.diagnosis import Diagnosis, apply_proofs
from regtorch.app.doctor.proofs import Proof, Verdict
from regtorch.app.doctor.short_run import TrainingOutcome
from regtorch.app.doctor.strength import Strength
from regtorch.app.run.examine import Examination
from regtorch.doctor.causes import Severity
from regtorch.doctor.finding import Finding
from regtorch.doctor.observe.forces import Forces
from regtorch.doctor.observe.steps import Step, WatchedSteps
from regtorch.doctor.remedy import Remedy

__all__ = ["ADVISED", "CFG", "diagnosis", "finding", "outcome", "proof", "strength"]

CFG = OmegaConf.create({"reg": {"convention": "keras"}})


def finding(cause: str, severity: Severity = "severe", remedy: Remedy | None = None) -> Finding:
    return Finding(cause, "dense.weight", severity, {"ratio": 3.0}, why="it is so", change="do it", remedy=remedy)


def strength(value: float, also: Remedy | None = None) -> Remedy:
    return Remedy("strength", value=value, also=also)


def outcome(label: str, *overrides: str, score: float = 0.5) -> TrainingOutcome:
    return TrainingOutcome(
        label, overrides, 1.0, 1.1, score, "accuracy", [2.0 / (step + 1) for step in range(100)], 3.0
    )


def proof(cause: str, verdict: Verdict, *change: str) -> Proof:
    cured = outcome("cured", *change, score=0.9) if change else None
    return Proof(cause, outcome("as is"), outcome("reg=none", "reg=none"), cured, verdict, "loss 1 against 2")


def diagnosis(
    findings: Sequence[Finding] = (),
    proofs: Sequence[Proof] = (),
    overrides: Sequence[str] = ("reg=l2", "reg.lam=1"),
    advised: Strength | None = None,
    weights: int = 1,
) -> Diagnosis:
    forces = {f"w{n}": Forces(2.0, 1.0, 0.5 + n, 0.0) for n in range(weights)}
    steps = [Step(2.0 - 0.1 * number, 5.0, forces) for number in range(10)]
    trial = WatchedSteps(steps, dict.fromkeys(forces, 1.0), diverged=False)
    without = WatchedSteps([replace(step, task_loss=1.0) for step in steps], dict.fromkeys(forces, 3.0), diverged=False)
    examination = Examination(CFG, findings, trial, without, 32, 1.0)
    standing, withdrawn = apply_proofs(findings, proofs)
    return Diagnosis(overrides, examination, standing, withdrawn, proofs, advised, 2.0)


ADVISED = Strength(
    1e-3, math.inf, 1e-3, 1e-2, [outcome(f"λ = {lam}", f"reg.lam={lam!r}") for lam in (0.0, 1e-3, 0.1)], {}, "measured"
)
