"""Writers of error.txt and doctor.json, and the reader of doctor.json."""

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from regtorch.app.ground.atomic import write_text
from regtorch.app.record.file_names import DIAGNOSIS, ERROR
from regtorch.app.record.json_file import read_json, write_json
from regtorch.app.record.run_record import versions
from regtorch.doctor.causes import SEVERITIES
from regtorch.doctor.finding import Finding
from regtorch.doctor.remedy import NoNumber, Remedy

__all__ = ["read_diagnosis", "write_diagnosis", "write_error"]

_SCHEMA = 1  # of doctor.json


def write_error(folder: Path, message: str, error: BaseException) -> Path:
    """Write error.txt: the message in the first line, then the traceback."""
    path = folder / ERROR
    write_text(path, f"{message}\n\n{''.join(traceback.format_exception(error))}")
    return path


def write_diagnosis(
    folder: Path,
    overrides: Sequence[str],
    findings: Sequence[Finding],
    seconds: float,
    overrides_of: Callable[[Finding], Sequence[str]],
    *,
    withdrawn: Collection[Finding] = (),
    proofs: Sequence[Any] = (),
    strength: Any = None,
    provenance: Mapping[str, Any],
    config: Mapping[str, Any],
    history: Mapping[str, Any] | None = None,
) -> Path:
    """Write doctor.json: findings, most severe first, and the experiments (`proofs`) that confirm or refute them.

    `history` are the series of a training whose curves were read.
    """
    path = folder / DIAGNOSIS
    remaining = {finding.severity for finding in findings if finding not in withdrawn}
    record = {
        "schema": _SCHEMA,
        "overrides": list(overrides),
        "verdict": next((severity for severity in SEVERITIES if severity in remaining), "info"),
        "findings": [_recorded(finding, overrides_of(finding), finding in withdrawn) for finding in findings],
        "proofs": [asdict(proof) for proof in proofs],
        "strength": None if strength is None else asdict(strength),
        "seconds": round(seconds, 3),
        "versions": versions(),
        "provenance": provenance,
        "config": config,
    }
    write_json(path, record if history is None else {**record, "history": history})
    return path


def read_diagnosis(folder: Path) -> dict[str, Any]:
    """Read doctor.json.

    Raises:
        NewerSchema: written by a newer regtorch.
        ValueError: it is not a doctor.json, or has an impossible schema; the message names the file.
    """
    path = folder / DIAGNOSIS
    record = read_json(path, _SCHEMA)
    if not isinstance(record, dict) or not isinstance(record.get("findings"), list):
        raise ValueError(f"{path}: expected a doctor.json with 'findings'")
    return record


def _part(remedy: Remedy) -> dict[str, Any]:
    """A part of a remedy: its number is a `value` or a `factor`, and `no_number` says why there is none."""
    absent = remedy.value if isinstance(remedy.value, NoNumber) else None
    return {
        "what": remedy.what,
        "where": list(remedy.where),
        "value": None if absent else remedy.value,
        "factor": remedy.factor,
        "no_number": absent.why if absent else None,
        "python": remedy.line(),
    }


def _recorded(finding: Finding, overrides: Sequence[str], withdrawn: bool) -> dict[str, Any]:
    record = {field.name: getattr(finding, field.name) for field in fields(finding)}
    parts = () if finding.remedy is None else finding.remedy.parts()
    remedy = [_part(part) for part in parts]
    return record | {"remedy": remedy, "override": " ".join(overrides), "withdrawn": withdrawn}
