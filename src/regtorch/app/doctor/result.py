"""What a check-up found: what stands after the experiments, the verdict in a line, and the command to run next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regtorch.app.doctor.words import in_words
from regtorch.app.ground.errors import sentence
from regtorch.app.record.command import command
from regtorch.app.record.overrides import changed, without
from regtorch.app.run.examine import Examination
from regtorch.doctor.causes import CAUSES, EXAMINED, SEVERITIES, Severity
from regtorch.doctor.finding import Finding, in_order

if TYPE_CHECKING:
    from regtorch.app.doctor.cure import Proof
    from regtorch.app.doctor.strength import Strength

__all__ = ["Checkup", "own_overrides", "told_apart"]

# Keys that train.py has not, or need not have once they have been heeded.
_OWN = ("cure", "strength", "seconds", "doctor")


@dataclass(frozen=True)
class Checkup:
    """All of it.

    Attributes:
        overrides: of train.py, what was examined.
        examination: the cheap part.
        findings: those that stand, the most to blame first.
        withdrawn: those that an experiment refuted.
        proofs: the experiments.
        strength: the advised range of the penalty's strength, where it was asked for.
        seconds: what all of it took.
    """

    overrides: Sequence[str]
    examination: Examination
    findings: Sequence[Finding]
    withdrawn: Sequence[Finding]
    proofs: Sequence[Proof]
    strength: Strength | None
    seconds: float

    @property
    def severity(self) -> Severity:
        """The gravest of what stands."""
        found = {finding.severity for finding in self.findings}
        return "severe" if "severe" in found else "warning" if "warning" in found else "info"

    @property
    def blamed(self) -> Finding | None:
        """The first that needs a change."""
        return next((finding for finding in self.findings if finding.severity != "info"), None)

    def proof(self, finding: Finding) -> Proof | None:
        """The experiment about a finding's cause."""
        return next((proof for proof in self.proofs if proof.cause == finding.cause), None)

    def change(self, finding: Finding) -> tuple[str, ...]:
        """What a finding advises, as overrides of the set-up."""
        return self.examination.overrides(finding)

    @property
    def verdict(self) -> str:
        """The whole in a line."""
        blamed = self.blamed
        if blamed is None:
            return f"Healthy: nothing to change. Examined were {EXAMINED}."
        count = {severity: sum(f.severity == severity for f in self.findings) for severity in SEVERITIES}
        counted = [_counted(count["severe"], "severe finding"), _counted(count["warning"], "warning")]
        healthy = "" if count["severe"] else "Nothing severe, "
        return (
            f"{healthy}{' and '.join(part for part in counted if part)}. First: {in_words(blamed.cause).lower()} "
            f"({blamed.where}). {sentence(blamed.change)}"
        )

    @property
    def command(self) -> str | None:
        """How to train with the first change, the one that was tried where one was; None where it is no override."""
        blamed = self.blamed
        if blamed is None:
            return None
        proof = self.proof(blamed)
        tried = proof.cured if proof is not None and proof.verdict == "proved" else None
        change = (tried.overrides if tried is not None else ()) or self.change(blamed)
        if not change:
            return None
        return command("train", changed(self.overrides, change))


def told_apart(findings: Sequence[Finding], proofs: Sequence[Proof]) -> tuple[list[Finding], list[Finding]]:
    """What stands after the experiments, and what they withdraw.

    A refuted fault of how the set-up is built stays, as a warning: a longer training may suffer from it.
    """
    refuted = {proof.cause for proof in proofs if proof.verdict == "refuted"}
    standing, withdrawn = [], []
    for finding in findings:
        if finding.cause not in refuted:
            standing.append(finding)
        elif CAUSES[finding.cause].structural:
            standing.append(replace(finding, severity="warning"))
        else:
            withdrawn.append(finding)
    return in_order(standing), withdrawn


def own_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that speak of the set-up: without the check-up's own keys."""
    return without(overrides, _OWN)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}" if count else ""
