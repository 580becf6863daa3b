"""What finished runs say of a strength that is called severe: validation decides, not how fast the task is learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from regtorch.app.doctor.diagnosis import OWN_KEYS, TOO_STRONG
from regtorch.app.record.json_file import node
from regtorch.app.record.run_record import RunRecord
from regtorch.app.record.unpenalised import Against, Finished, against, family
from regtorch.doctor.finding import Finding, in_order

__all__ = ["validated"]


def validated(findings: Sequence[Finding], examined: RunRecord, runs: Iterable[Finished]) -> list[Finding]:
    """Findings, of which a strength is no longer severe if a finished run with it validates better than without.

    Args:
        findings: of the examined setup.
        examined: its settings, as a run would record them.
        runs: finished runs, newest first.
    """
    if not any(finding.cause in TOO_STRONG and finding.severity == "severe" for finding in findings):
        return list(findings)
    found = _compared(examined, list(runs))
    if found is None or not found.better:
        return list(findings)
    return in_order(_milder(finding, found) for finding in findings)


def _compared(examined: RunRecord, runs: Sequence[Finished]) -> Against | None:
    """The newest run of the examined settings beside that without its penalty."""
    settings = {key: value for key, value in examined.config.items() if key not in OWN_KEYS}
    examined = replace(examined, config=settings)
    wanted = family(examined), node(settings, "reg"), settings.get("seed"), examined.provenance.get("data")
    for run in runs:
        record = run.record
        if wanted == (family(record), node(record.config, "reg"), run.seed, record.provenance.get("data")):
            return against(run, runs)
    return None


def _milder(finding: Finding, found: Against) -> Finding:
    if finding.cause not in TOO_STRONG or finding.severity != "severe":
        return finding
    return replace(
        finding,
        severity="warning",
        why=f"{finding.why} But a finished run of these settings validates better than without the penalty: {found}.",
        change=f"Keep it if a weaker one validates no better. {finding.change}",
    )
