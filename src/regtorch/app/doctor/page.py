"""doctor.html: the check-up as one page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regtorch.app.doctor.plots import plots
from regtorch.app.doctor.result import Checkup
from regtorch.app.doctor.terminal import proof_in_words, strength_in_words
from regtorch.app.doctor.words import in_words
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import sentence
from regtorch.app.pages.environment import render
from regtorch.doctor.causes import EXAMINED
from regtorch.doctor.finding import Finding

__all__ = ["write_page"]

_PAGE = "doctor.html"


@dataclass(frozen=True)
class _Found:
    """A finding in words."""

    severity: str
    title: str
    cause: str
    where: str
    why: str
    change: str
    override: str
    proof: str
    numbers: dict[str, str]


def write_page(folder: Path, checkup: Checkup) -> Path:
    """Write the page."""
    path = folder / _PAGE
    overrides = " ".join(checkup.overrides) or "the defaults"
    text = render(
        "checkup",
        title=f"Check-up: {overrides}",
        overrides=overrides,
        checkup=checkup,
        standing=_found(checkup, [finding for finding in checkup.findings if finding.severity != "info"]),
        noted=_found(checkup, [finding for finding in checkup.findings if finding.severity == "info"]),
        withdrawn=_found(checkup, checkup.withdrawn),
        strength="" if checkup.strength is None else strength_in_words(checkup.strength),
        panels=list(plots(checkup)),
        examined=_examined(checkup),
    )
    write_text(path, text)
    return path


def _found(checkup: Checkup, findings: Sequence[Finding]) -> list[_Found]:
    return [
        _Found(
            finding.severity,
            in_words(finding.cause),
            finding.cause,
            finding.where,
            sentence(finding.why),
            sentence(finding.change),
            " ".join(checkup.change(finding)),
            "" if (proof := checkup.proof(finding)) is None else proof_in_words(proof),
            {name.replace("_", " "): _number(value) for name, value in finding.numbers.items()},
        )
        for finding in findings
    ]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.3g}"


def _examined(checkup: Checkup) -> str:
    trial = checkup.examination.with_rules
    steps = f" and {len(trial.steps)} training steps" if trial is not None else ""
    return f"Examined in {checkup.seconds:.0f} s, on {checkup.examination.batches} training batches{steps}: {EXAMINED}."
