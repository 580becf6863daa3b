"""`regtorch doctor history=FILE`: the curves of a training, from file to diagnosis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig

from regtorch.app.doctor.diagnosis import severity_of, verdict_of
from regtorch.app.doctor.diagnosis_page import in_words
from regtorch.app.doctor.terminal import COLOURS, print_finding, print_unwrapped, print_wrapped
from regtorch.app.figures.drawing import write_picture
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.reading import read_text
from regtorch.app.pages.environment import render
from regtorch.app.record.command import command
from regtorch.app.record.file_names import METRICS, RECEIPT
from regtorch.app.record.later_settings import completed
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.record.provenance import provenance
from regtorch.app.record.run_record import RunRecord
from regtorch.app.run.settling import SETTLE_ALL, SETTLES
from regtorch.app.terminal.sparkline import sparkline
from regtorch.counted import counted
from regtorch.doctor.finding import Finding
from regtorch.doctor.history.history import History
from regtorch.doctor.history.read import Reading, read_history
from regtorch.plot.curves import history_panels
from regtorch.plot.panel import WIDE

__all__ = ["KEYS", "diagnose_history"]

KEYS = ("history", "run", "classes", "val_samples")
"""The keys that a diagnosis of curves takes."""
_HEALTHY = "Healthy: the curves show nothing to change."


def diagnose_history(cfg: DictConfig, overrides: Sequence[str], folder: Path, started: float) -> bool:
    """Read the curves, print and write the diagnosis.

    Returns:
        Whether something is severe.

    Raises:
        RunError: the curves cannot be read, or other settings are given.
    """
    others = [text for text in overrides if text.lstrip("+").partition("=")[0] not in (*KEYS, "debug")]
    if others:
        raise RunError(
            f"history=: the doctor reads curves alone, with {', '.join(f'{key}=' for key in KEYS[1:])} at most; leave "
            f"out {' '.join(others)}"
        )
    if not isinstance(cfg.history, str):
        raise RunError(f"history: expected a file or a folder, received {cfg.history!r}; quote a name such as '1'")
    try:
        known = {key: cfg[key] for key in KEYS[1:]}
        reading = read_history(str(cfg.history), **known)
    except (OSError, TypeError, ValueError, ModuleNotFoundError) as error:
        raise RunError(f"history: {str(error).removeprefix('read_history: ')}") from error
    seconds = perf_counter() - started
    panels = list(history_panels(reading))
    codes = _Codes(_could_settle(Path(cfg.history)))
    shown = f"history={Path(cfg.history).name}"
    write_diagnosis(
        folder,
        overrides,
        reading,
        seconds,
        codes.overrides,
        provenance=provenance(command("doctor", overrides)),
        config={key: cfg[key] for key in KEYS},
        history=reading.to_dict()["history"],
    )
    write_picture(panels, "", folder / "doctor.png")
    _write_page(folder / "doctor.html", reading, panels, shown, seconds, codes)
    _print(reading, folder, codes)
    return severity_of(reading) == "severe"


@dataclass(frozen=True)
class _Codes:
    """What the changes of findings are in code."""

    could_settle: bool

    def overrides(self, finding: Finding) -> tuple[str, ...]:
        """Of the run whose curves were read."""
        return (SETTLE_ALL,) if finding.cause == "batch_norm_lag" and self.could_settle else ()

    def __call__(self, finding: Finding) -> str:
        """The overrides, or else Python."""
        return " ".join(self.overrides(finding)) or ("" if finding.remedy is None else finding.remedy.python())


def _could_settle(source: Path) -> bool:
    """Whether curves are those of a run of `train` whose batch norms, if it has any, settled at their own momentum."""
    folder = source if source.is_dir() else source.parents[1] if source.match(METRICS) else None
    if folder is None:
        return False
    try:
        record = RunRecord.read(folder)
        receipt = read_text(folder / RECEIPT, errors="replace")
    except (OSError, ValueError):
        return False
    if record is None or record.path is not None or not record.config:
        return False
    choice = completed(record.config)["settle_batch_norm"]
    return choice is not True and record.setting("compile") is not True and SETTLES not in receipt


def _write_page(path: Path, reading: Reading, panels: Sequence[Any], shown: str, seconds: float, codes: _Codes) -> None:
    history = reading.history
    verdict = {"severity": severity_of(reading), "verdict": _verdict(reading), "command": None}
    text = render(
        "diagnosis",
        title=f"Diagnosis: {shown}",
        overrides=shown,
        diagnosis=verdict,
        valid=[in_words(finding, codes(finding)) for finding in reading if finding.severity != "info"],
        noted=[in_words(finding, codes(finding)) for finding in reading if finding.severity == "info"],
        withdrawn=[],
        strength="",
        panels=panels,
        examined=f"Read in {seconds:.1f} s: {counted(len(history.epochs), history.unit)} of "
        f"{', '.join(_names(history))}.",
    )
    write_text(path, text)


def _names(history: History) -> Iterator[str]:
    for stage, series in (("training", history.train), ("validation", history.val)):
        yield from (f"{stage} {name.replace('_', ' ')}" for name in series)


def _print(reading: Reading, folder: Path, codes: _Codes) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for line in _chart(reading.history):
        print_unwrapped(console, line)
    console.print()
    for number, finding in enumerate(reading, 1):
        print_finding(console, number, finding, codes(finding))
    for name in ("doctor.html", "doctor.json", "doctor.png"):
        print_unwrapped(console, f"written: {folder / name}")
    console.print()
    print_wrapped(console, _verdict(reading), COLOURS[severity_of(reading)])


def _verdict(reading: Reading) -> str:
    if verdict := verdict_of(reading):
        return verdict
    notes = len(list(reading))
    return f"No fault; {notes} note{'s' * (notes > 1)} above." if notes else _HEALTHY


def _chart(history: History) -> Iterator[str]:
    """A line of blocks for each loss and accuracy; training and validation have one scale."""
    for name, label in (("loss", "loss"), ("task_loss", "task loss"), ("accuracy", "accuracy")):
        lines = {
            stage: list(series[name].values())
            for stage, series in (("train", history.train), ("val", history.val))
            if series.get(name)
        }
        finite = [value for values in lines.values() for value in values if math.isfinite(value)]
        if not finite:
            continue
        low, high = min(finite), max(finite)
        log = name != "accuracy" and low > 0 and high > WIDE * low
        for stage, values in lines.items():
            curve = sparkline(values, low, high, log=log)
            yield f"{f'{stage} {label}':15} {values[0]:10.4g} {curve} {values[-1]:.4g}"
