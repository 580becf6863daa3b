"""The files a run leaves beside what Lightning's loggers and checkpoints write."""

import json
import math
import platform
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from regtorch.doctor.causes import SEVERITIES
from regtorch.doctor.finding import Finding
from regtorch.training.overrides import own_configs
from regtorch.training.reading import is_there, read_text
from regtorch.training.whole import write_text

__all__ = [
    "monitored_value",
    "plain",
    "read_json",
    "read_summary",
    "score_of",
    "write_diagnosis",
    "write_error",
    "write_summary",
]

SUMMARY, ERROR, RECEIPT, DIAGNOSIS = "summary.json", "error.txt", "receipt.txt", "doctor.json"


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write summary.json, whose presence says that the run finished; a number that is none becomes null."""
    path = folder / SUMMARY
    made = {"versions": _versions(), "own_configs": own_configs()}
    write_text(path, json.dumps(plain({**summary, **made}), indent=2, allow_nan=False) + "\n")
    return path


def read_json(path: Path) -> Any:
    """What a file of JSON holds; a whole number of so many digits that no float is near it is infinite.

    Raises:
        ValueError: it is none; with the file's name.
    """
    try:
        return json.loads(read_text(path), parse_int=lambda t: int(t) if len(t) < 300 else float(t))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON: {error}") from None


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run, or None.

    Raises:
        ValueError: summary.json is not one; with the file's name.
    """
    path = folder / SUMMARY
    if not is_there(path):
        return None
    summary = read_json(path)
    final = summary.get("final") if isinstance(summary, dict) else None
    if not isinstance(final, dict) or not all(isinstance(v, int | float | None) for v in final.values()):
        raise ValueError(f"{path}: expected the summary of a run, with the metrics' numbers in 'final'")
    return summary


def score_of(metrics: Mapping[str, Any]) -> str:
    """The name of the score among a run's metrics: accuracy, or r2 in a regression."""
    return "r2" if any(name.endswith("/r2") for name in metrics) else "accuracy"


def monitored_value(summary: Mapping[str, Any]) -> tuple[str, float, bool] | None:
    """What a run's best checkpoint was chosen by, or else its score: name, value, and whether more of it is better.

    None where the run has no such number.
    """
    final, best = summary["final"], summary.get("best") or {}
    saved = [node for node in summary["config"]["callbacks"].values() if isinstance(node, dict) and "monitor" in node]
    by = next((node for node in saved if str(node.get("_target_")).endswith(".ModelCheckpoint")), {})
    name = str(by.get("monitor") or "val/score")
    if name.endswith("/score"):
        name = f"{name.removesuffix('score')}{score_of(final)}"
    value = best.get(name, final.get(name))
    return None if value is None else (name, float(value), by.get("mode", "max") == "max")


def write_error(folder: Path, message: str, error: BaseException) -> Path:
    """Write error.txt: the message in the first line, the traceback below."""
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
) -> Path:
    """Write doctor.json; a number that is none, or infinite, becomes null.

    Args:
        folder: where it goes.
        overrides: of train.py, what was examined.
        findings: the most to blame first.
        seconds: what the examination took.
        overrides_of: what a finding advises, as overrides of train.py.
        withdrawn: those of the findings that an experiment refuted.
        proofs: experiments, as dataclasses.
        strength: the advised range of the penalty's strength, a dataclass, or None.
    """
    path = folder / DIAGNOSIS
    standing = {finding.severity for finding in findings if finding not in withdrawn}
    record = {
        "version": 1,
        "overrides": list(overrides),
        "verdict": next((severity for severity in SEVERITIES if severity in standing), "info"),
        "findings": [_recorded(finding, overrides_of(finding), finding in withdrawn) for finding in findings],
        "proofs": [asdict(proof) for proof in proofs],
        "strength": None if strength is None else asdict(strength),
        "seconds": round(seconds, 3),
    }
    write_text(path, json.dumps(plain(record), indent=2, allow_nan=False) + "\n")
    return path


def _recorded(finding: Finding, overrides: Sequence[str], withdrawn: bool) -> dict[str, Any]:
    record = {field.name: getattr(finding, field.name) for field in fields(finding)}
    parts = () if finding.remedy is None else finding.remedy.parts()
    remedy = [{"what": p.what, "where": list(p.where), "value": p.value, "python": p.line()} for p in parts]
    return record | {"remedy": remedy, "override": " ".join(overrides), "withdrawn": withdrawn}


def _versions() -> dict[str, str]:
    import hydra
    import lightning
    import torch

    import regtorch

    packages = {m.__name__: str(m.__version__) for m in (regtorch, torch, lightning, hydra)}
    return {"python": platform.python_version(), **packages}


def plain(value: Any) -> Any:
    """A value as JSON has it; a number that is none, or infinite, is None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
