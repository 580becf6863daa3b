"""The diagnosis: findings after the experiments, a one-line verdict, and the command to run next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regtorch.app.ground.errors import sentence
from regtorch.app.record.command import command
from regtorch.app.record.overrides import changed, without
from regtorch.counted import counted
from regtorch.doctor.causes import CAUSES, EXAMINED, SEVERITIES, Severity, title_of
from regtorch.doctor.finding import Finding, in_order

if TYPE_CHECKING:
    from regtorch.app.doctor.proofs import Proof
    from regtorch.app.doctor.strength import Strength
    from regtorch.app.run.examine import Examination

__all__ = ["Diagnosis", "apply_proofs", "setup_overrides", "severity_of", "verdict_of", "within_range"]

OWN_KEYS = ("cure", "strength", "seconds", "doctor", "history", "run", "classes", "val_samples")
"""Keys that `regtorch train` lacks or does not need."""
TOO_STRONG = ("collapse", "penalty_dominates")
"""Causes that are a matter of the strength."""


@dataclass(frozen=True)
class Diagnosis:
    """The result of `regtorch doctor`."""

    overrides: Sequence[str]  # of the examined setup
    examination: Examination  # without experiments
    findings: Sequence[Finding]  # valid ones, most important first
    withdrawn: Sequence[Finding]  # refuted by an experiment
    proofs: Sequence[Proof]  # the experiments
    strength: Strength | None  # the advised range, if requested
    seconds: float

    @property
    def severity(self) -> Severity:
        """That of the most severe finding."""
        return severity_of(self.findings)

    @property
    def blamed(self) -> Finding | None:
        """The first finding that needs a change."""
        return next((finding for finding in self.findings if finding.severity != "info"), None)

    def proof(self, finding: Finding) -> Proof | None:
        return next((proof for proof in self.proofs if proof.cause == finding.cause), None)

    def change(self, finding: Finding) -> tuple[str, ...]:
        """The advised change as overrides; a strength is within the advised range."""
        return _within(self.strength, finding, self.examination.overrides(finding))

    @property
    def verdict(self) -> str:
        """A one-line summary."""
        return verdict_of(self.findings) or f"Healthy: nothing to change. Examined: {EXAMINED}."

    @property
    def command(self) -> str | None:
        """The training command with the first change, preferably the proved one; None if no override expresses it."""
        blamed = self.blamed
        if blamed is None:
            return None
        proof = self.proof(blamed)
        tried = proof.cured if proof is not None and proof.verdict == "proved" else None
        change = _within(self.strength, blamed, tried.overrides if tried is not None else ()) or self.change(blamed)
        if not change:
            return None
        return command("train", changed(self.overrides, change))


def severity_of(findings: Sequence[Finding]) -> Severity:
    """That of the most severe finding; "info" without any."""
    found = {finding.severity for finding in findings}
    return "severe" if "severe" in found else "warning" if "warning" in found else "info"


def verdict_of(findings: Sequence[Finding]) -> str:
    """How many findings need a change, and the first of them; empty without any."""
    blamed = next((finding for finding in findings if finding.severity != "info"), None)
    if blamed is None:
        return ""
    count = {severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES}
    names = {"severe": "severe finding", "warning": "warning"}
    named = [counted(count[severity], name) for severity, name in names.items() if count[severity]]
    start = "" if count["severe"] else "Nothing severe, "
    return (
        f"{start}{' and '.join(named)}. First: {title_of(blamed.cause).lower()} "
        f"({blamed.where}). {sentence(blamed.change)}"
    )


def apply_proofs(findings: Sequence[Finding], proofs: Sequence[Proof]) -> tuple[list[Finding], list[Finding]]:
    """The valid and the withdrawn findings.

    A refuted structural fault remains as a warning: a longer training may suffer from it.
    """
    refuted = {proof.cause for proof in proofs if proof.verdict == "refuted"}
    valid, withdrawn = [], []
    for finding in findings:
        if finding.cause not in refuted:
            valid.append(finding)
        elif CAUSES[finding.cause].structural:
            valid.append(replace(finding, severity="warning"))
        else:
            withdrawn.append(finding)
    return in_order(valid), withdrawn


def within_range(findings: Sequence[Finding], strength: Strength, examination: Examination) -> list[Finding]:
    """Findings whose advice for a penalty that is too strong lies in the range that was searched for."""

    def of(finding: Finding) -> Finding:
        change = examination.overrides(finding)
        if (nearest := _within(strength, finding, change)) == change:
            return finding
        return replace(finding, change=f"Use {' '.join(nearest)}, within the range that short trainings advise.")

    return [of(finding) for finding in findings]


def _within(strength: Strength | None, finding: Finding, change: Sequence[str]) -> tuple[str, ...]:
    too_strong = finding.cause in TOO_STRONG
    return strength.within(change) if strength is not None and too_strong else tuple(change)


def setup_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides of the setup, without the doctor's own keys."""
    return without(overrides, OWN_KEYS)
