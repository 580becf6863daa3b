"""What finished runs left, read from their files whichever way they were started."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from regtorch.sweep.overrides import parse
from regtorch.sweep.yaml_file import read_yaml
from regtorch.training.outputs import read_summary
from regtorch.training.reading import is_there, read_text

__all__ = ["BrokenRun", "Run", "Spread", "curve", "read_overrides", "read_run", "spread"]

_MOST_EPOCHS = 10**9


class BrokenRun(ValueError):
    """A finished run whose files cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it lies.
        overrides: what it was started with.
        summary: its summary.json; None among the metrics of "final" is a number that was not finite.
        epochs: by metric, such as "val/loss", the value of each epoch counted from 1.
    """

    folder: Path
    overrides: Sequence[str]
    summary: Mapping[str, Any]
    epochs: Mapping[str, Mapping[int, float]]

    def final(self, metric: str) -> float | None:
        """A metric after the last epoch, NaN where it was not finite; None where the run has no such metric."""
        final = self.summary["final"]
        return math.nan if metric in final and final[metric] is None else final.get(metric)


@dataclass(frozen=True)
class Spread:
    """A number over seeds.

    Attributes:
        mean: of the finite ones.
        deviation: their standard deviation; NaN of a single one.
        count: how many were finite.
        lost: how many were not.
    """

    mean: float
    deviation: float
    count: int
    lost: int = 0

    def __str__(self) -> str:
        digits = "z.3f" if abs(self.mean) < 100 else "z.1f" if abs(self.mean) < 1e6 else "z.3g"
        text = format(self.mean, digits) if self.count else ""
        if self.count > 1:
            text += f" ± {format(self.deviation, digits)}"
        if self.lost:
            text += f" (nan in {self.lost} of {self.count + self.lost})"
        return text.strip()


def read_run(folder: Path, overrides: Sequence[str] | None = None) -> Run | None:
    """The run in a folder, or None where none has finished.

    Args:
        folder: where it lies.
        overrides: what it was started with, where its own files do not say it.

    Raises:
        BrokenRun: one has, and its files cannot be read.
    """
    try:
        summary = read_summary(folder)
        if summary is None:
            return None
        return Run(folder, read_overrides(folder) if overrides is None else overrides, summary, _epochs(folder))
    except ValueError as error:
        raise BrokenRun(str(error)) from None


def read_overrides(folder: Path) -> list[str]:
    """What the run in a folder was started with.

    Raises:
        ValueError: its file cannot be read; with the file's name.
    """
    path = folder / ".hydra" / "overrides.yaml"
    overrides = read_yaml(path, texts=True)  # [] where there were none: an empty file is a broken one
    if not isinstance(overrides, list):
        raise ValueError(f"{path}: expected a list of overrides, received {overrides!r}")
    overrides = [str(override) for override in overrides]
    try:
        parse(overrides)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return overrides


def _epochs(folder: Path) -> dict[str, dict[int, float]]:
    path = folder / "csv" / "metrics.csv"
    if not is_there(path):
        return {}
    epochs: dict[str, dict[int, float]] = {}
    number = 1
    try:
        with io.StringIO(read_text(path), newline="") as file:
            # A last line without its end was cut, and so may be its last number.
            rows = csv.reader(line for line in file if line.endswith("\n"))
            header = next(rows, [])
            if "epoch" not in header:
                raise ValueError("expected a column 'epoch'")
            of_epoch = header.index("epoch")
            kept = [(place, name) for place, name in enumerate(header) if _is_of_epochs(name)]
            for row in rows:
                number = rows.line_num
                if len(row) != len(header):
                    raise ValueError(f"expected {len(header)} columns, received {len(row)}")
                for place, name in kept:
                    # A later row of the epoch is its mean; those of steps come before it.
                    if value := row[place]:
                        epochs.setdefault(name, {})[_epoch(row[of_epoch])] = float(value)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"{path}: line {number}: {error}") from None
    return epochs


def _is_of_epochs(name: str) -> bool:
    return name.startswith(("train/", "val/")) and not name.endswith("_step")


def _epoch(text: str) -> int:
    value = float(text) if text else math.nan
    if not value.is_integer() or not 0 <= value < _MOST_EPOCHS:
        raise ValueError(f"epoch: expected 0, 1, …, received {text!r}")
    return int(value) + 1


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that are there; None where there is none."""
    there = [value for value in values if value is not None]
    finite = [value for value in there if math.isfinite(value)]
    if not there:
        return None
    mean = math.fsum(value / len(finite) for value in finite) if finite else math.nan  # their sum may be too large
    return Spread(mean, _deviation(finite), len(finite), len(there) - len(finite))


def _deviation(values: Sequence[float]) -> float:
    try:
        return stdev(values) if len(values) > 1 else math.nan
    except OverflowError:
        return math.inf


def curve(runs: Sequence[Run], metric: str) -> dict[int, Spread]:
    """A metric over the seeds, by epoch."""
    epochs = sorted({epoch for run in runs for epoch in run.epochs.get(metric, {})})
    spreads = {epoch: spread(run.epochs.get(metric, {}).get(epoch) for run in runs) for epoch in epochs}
    return {epoch: value for epoch, value in spreads.items() if value is not None}
