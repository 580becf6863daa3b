"""Findings that do not contradict each other: one learning rate is advised, not several."""

from __future__ import annotations

from dataclasses import replace

from regtorch.doctor.causes import title_of
from regtorch.doctor.finding import Finding, Findings

__all__ = ["agreed"]


def agreed(findings: Findings) -> Findings:
    """Of findings in order, let only the first that advises another learning rate of all weights do so."""
    first = next((finding for finding in findings if _advises_a_rate(finding)), None)
    return Findings(finding if finding is first else _after(first, finding) for finding in findings)


def _after(first: Finding | None, finding: Finding) -> Finding:
    if first is None or not _advises_a_rate(finding):
        return finding
    return replace(
        finding,
        change=f"Change the learning rate as under “{title_of(first.cause)}” first, and diagnose again.",
        remedy=None,
    )


def _advises_a_rate(finding: Finding) -> bool:
    parts = () if finding.remedy is None else finding.remedy.parts()
    return any(part.what == "rate" and not part.groups for part in parts)
