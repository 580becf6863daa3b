"""The page's sections about the doctor's findings, failures, and receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from regtorch.app.ground.errors import sentence
from regtorch.app.ground.reading import is_there, read_text
from regtorch.app.record.files import RECEIPT
from regtorch.app.record.json_file import node, number
from regtorch.app.report.collect import Diagnosis
from regtorch.app.report.entry import Lost
from regtorch.app.report.experiments import Experiment
from regtorch.doctor.causes import SEVERITIES, precedence, title_of

__all__ = ["of_doctor", "of_lost", "of_receipts"]

_RECEIPTS = 50


@dataclass(frozen=True)
class _Found:
    """A finding, and the diagnoses that contain it."""

    severity: str
    title: str
    where: str
    why: str
    change: str
    override: str
    places: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Doctor:
    """The doctor's section: findings, and the advised strengths by diagnosis."""

    diagnoses: int
    findings: Sequence[_Found]
    advised: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class _Receipt:
    """What was regularized in a run of one setting."""

    label: str
    text: str


@dataclass(frozen=True)
class _Receipts:
    """The receipts that are shown, and how many settings have others."""

    receipts: Sequence[_Receipt]
    left: int


def of_doctor(diagnoses: Sequence[Diagnosis]) -> _Doctor:
    """The findings, most severe first, each once with the diagnoses that contain it."""
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
                if diagnosis.name not in places:
                    places.append(diagnosis.name)
        low, high = (number(node(diagnosis.record, "strength", end)) for end in ("low", "high"))
        if low is not None and high is not None:
            advised[diagnosis.name] = low, high
    order = sorted(groups.items(), key=lambda item: (precedence(item[0][0], item[0][1]), -len(item[1].places), item[0]))
    return _Doctor(len(diagnoses), [found for _, found in order], advised)


def of_lost(lost: Sequence[Lost]) -> list[list[Lost]]:
    """What failed, then what has not finished, grouped by reason, the most frequent first."""
    reasons: dict[tuple[bool, str], list[Lost]] = {}
    for one in lost:
        reasons.setdefault((one.finished, one.reason), []).append(one)
    return sorted(reasons.values(), key=lambda group: (not group[0].finished, -len(group), group[0].reason))


def of_receipts(experiments: Sequence[Experiment]) -> _Receipts:
    """What was regularized, in a run of each setting."""
    found: dict[str, _Receipt] = {}
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
            found[key] = _Receipt(f"{experiment.title}: {setting.label} ({setting.entries[0].name})", text)
    return _Receipts(list(found.values()), left)
