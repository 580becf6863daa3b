"""What finished runs left, read from their files whichever way they were started."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from regtorch.training.outputs import read_summary

__all__ = ["Run", "Spread", "curve", "read_run", "spread"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it lies.
        summary: its summary.json.
        epochs: by metric, such as "val/loss", the value of each epoch counted from 1.
    """

    folder: Path
    summary: Mapping[str, Any]
    epochs: Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Spread:
    """A number over seeds: its mean, its standard deviation (NaN of a single one), and how many there were."""

    mean: float
    deviation: float
    count: int

    def __str__(self) -> str:
        digits = 3 if abs(self.mean) < 100 else 1
        many = self.count > 1 and math.isfinite(self.deviation)
        return f"{self.mean:.{digits}f}" + (f" ± {self.deviation:.{digits}f}" if many else "")


def read_run(folder: Path) -> Run | None:
    """The run in a folder, or None where none has finished."""
    summary = read_summary(folder)
    if summary is None:
        return None
    metrics = folder / "csv" / "metrics.csv"
    epochs: dict[str, dict[int, float]] = {}
    if metrics.is_file():
        with metrics.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    # A later row of the epoch is its mean; those of steps come before it.
                    if value and name.split("/")[0] in ("train", "val") and not name.endswith("_step"):
                        epochs.setdefault(name, {})[int(row["epoch"]) + 1] = float(value)
    return Run(folder, summary, epochs)


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that are there; None where there is none."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return Spread(fmean(found), stdev(found) if len(found) > 1 else math.nan, len(found))


def curve(runs: Sequence[Run], metric: str) -> dict[int, Spread]:
    """A metric over the seeds, by epoch."""
    epochs = sorted({epoch for run in runs for epoch in run.epochs.get(metric, {})})
    spreads = {epoch: spread(run.epochs.get(metric, {}).get(epoch) for run in runs) for epoch in epochs}
    return {epoch: value for epoch, value in spreads.items() if value is not None}
