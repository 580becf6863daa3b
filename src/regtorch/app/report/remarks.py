"""Contents of the page's sections on the doctor's findings, failures and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from regtorch.app.ground.errors import sentence
from regtorch.app.ground.reading import is_there, read_text
from regtorch.app.record.file_names import RECEIPT
from regtorch.app.record.json_file import node, number
from regtorch.app.report.collect import Diagnosis
from regtorch.app.report.entry import Lost
from regtorch.app.report.experiments import Experiment
from regtorch.doctor.causes import SEVERITIES, precedence, title_of

__all__ = ["of_doctor", "of_lost", "of_receipts"]

_RECEIPTS = 50
_LONGEST = 20_000  # characters of a receipt


@dataclass(frozen=True)
class _Found:
    """A finding, and the diagnoses that contain it."""

    severity: str
    title: str
    where: str
    why: str
    change: str
    override: str
    places: list[Diagnosis] = field(default_factory=list)


def of_doctor(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """The findings, most severe first, each with its diagnoses, and the advised strengths."""
    groups: dict[tuple[str, ...], _Found] = {}
    advised: dict[str, tuple[float, float]] = {}
    for diagnosis in diagnoses:
        for finding in diagnosis.record["findings"]:
            if isinstance(finding, dict) and not finding.get("withdrawn"):
                keys = ("severity", "cause", "where", "change", "override")
                key = tuple(str(finding.get(name) or "") for name in keys)
                severity, cause, where, change, override = key
                known = severity if severity in SEVERITIES else "info"
                why = sentence(str(finding.get("why") or ""))
                found = _Found(known, title_of(cause), where, why, sentence(change), override)
                places = groups.setdefault(key, found).places
                if diagnosis not in places:
                    places.append(diagnosis)
        low, high = (number(node(diagnosis.record, "strength", end)) for end in ("low", "high"))
        if low is not None and high is not None:
            advised[diagnosis.name] = low, high
    order = sorted(groups.items(), key=lambda item: (precedence(item[0][0], item[0][1]), -len(item[1].places), item[0]))
    return {"diagnoses": len(diagnoses), "findings": [found for _, found in order], "advised": advised}


def of_lost(lost: Sequence[Lost]) -> list[list[Lost]]:
    """Failed, then unfinished runs, grouped by reason, most frequent first."""
    reasons: dict[tuple[bool, str], list[Lost]] = {}
    for run in lost:
        reasons.setdefault((run.finished, run.reason), []).append(run)
    return sorted(reasons.values(), key=lambda group: (not group[0].finished, -len(group), group[0].reason))


def of_receipts(experiments: Sequence[Experiment]) -> tuple[list[dict[str, str]], int]:
    """The receipt of a run of each setting, and how many settings are left out."""
    found: dict[str, dict[str, str]] = {}
    settings = [(experiment, setting) for experiment in experiments for setting in experiment.settings]
    left = 0
    for experiment, setting in settings:
        path = setting.entries[0].run.folder / RECEIPT
        key = path.parent.as_posix()
        if len(found) >= _RECEIPTS:
            left += 1
        elif key not in found and is_there(path):
            try:
                text = read_text(path, errors="replace").strip()
            except (OSError, ValueError) as error:
                text = f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}"
            label = f"{experiment.title}: {setting.label} ({setting.entries[0].name})"
            if len(text) > _LONGEST:
                text = f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} further characters in {path.name}"
            found[key] = {"label": label, "text": text}
    return list(found.values()), left
