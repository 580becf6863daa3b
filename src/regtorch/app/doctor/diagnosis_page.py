"""doctor.html: the diagnosis as one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regtorch.app.doctor.diagnosis import Diagnosis
from regtorch.app.doctor.plots import plots
from regtorch.app.doctor.terminal import proof_in_words, strength_in_words
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import sentence
from regtorch.app.pages.environment import render
from regtorch.app.record.file_names import DIAGNOSIS_PAGE
from regtorch.doctor.causes import EXAMINED, title_of
from regtorch.doctor.finding import Finding

__all__ = ["in_words", "write_page"]


def write_page(folder: Path, diagnosis: Diagnosis) -> Path:
    """Write the page of a diagnosis."""
    path = folder / DIAGNOSIS_PAGE
    overrides = " ".join(diagnosis.overrides) or "the defaults"
    text = render(
        "diagnosis",
        title=f"Diagnosis: {overrides}",
        overrides=overrides,
        diagnosis=diagnosis,
        valid=_found(diagnosis, [finding for finding in diagnosis.findings if finding.severity != "info"]),
        noted=_found(diagnosis, [finding for finding in diagnosis.findings if finding.severity == "info"]),
        withdrawn=_found(diagnosis, diagnosis.withdrawn),
        strength="" if diagnosis.strength is None else strength_in_words(diagnosis.strength),
        panels=list(plots(diagnosis)),
        examined=_examined(diagnosis),
    )
    write_text(path, text)
    return path


def _found(diagnosis: Diagnosis, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    proofs = [diagnosis.proof(finding) for finding in findings]
    words = ["" if proof is None else proof_in_words(proof) for proof in proofs]
    return [
        in_words(finding, " ".join(diagnosis.change(finding)), proof)
        for finding, proof in zip(findings, words, strict=True)
    ]


def in_words(finding: Finding, change: str = "", proof: str = "") -> dict[str, Any]:
    """A finding as the template shows it; `change` is code to copy."""
    return {
        "severity": finding.severity,
        "title": title_of(finding.cause),
        "cause": finding.cause,
        "where": finding.where,
        "why": sentence(finding.why),
        "change": sentence(finding.change),
        "override": change,
        "proof": proof,
        "numbers": [(name.replace("_", " "), _number(value)) for name, value in finding.numbers.items()],
    }


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.3g}"


def _examined(diagnosis: Diagnosis) -> str:
    examination = diagnosis.examination
    steps = f" and {len(examination.with_rules.steps)} training steps" if examination.with_rules is not None else ""
    return f"Examined in {diagnosis.seconds:.0f} s, on {examination.batches} training batches{steps}: {EXAMINED}."
