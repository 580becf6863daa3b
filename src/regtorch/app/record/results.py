"""Finished runs, read from their files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regtorch.app.ground.reading import is_there, read_text
from regtorch.app.record.files import METRICS
from regtorch.app.record.overrides import read_overrides
from regtorch.app.record.run import RunRecord
from regtorch.app.record.spread import Spread, spread

__all__ = ["BrokenRun", "Run", "curve", "read_run"]

_MOST_EPOCHS = 10**9


class BrokenRun(ValueError):
    """Files of a finished run that cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    overrides: Sequence[str]  # it was started with
    record: RunRecord
    epochs: Mapping[str, Mapping[int, float]]  # by metric, such as "val/loss", then by epoch, counted from 1

    def final(self, metric: str) -> float | None:
        """A metric after the last epoch: NaN if it was not finite, None if the run has no such metric."""
        final = self.record.final
        return math.nan if metric in final and final[metric] is None else final.get(metric)


def read_run(folder: Path, overrides: Sequence[str] | None = None) -> Run | None:
    """The finished run in a folder, or None; `overrides` are read from its files unless they are given.

    Raises:
        BrokenRun: its files cannot be read.
    """
    try:
        record = RunRecord.read(folder)
        if record is None:
            return None
        return Run(folder, read_overrides(folder) if overrides is None else overrides, record, _epochs(folder))
    except ValueError as error:
        raise BrokenRun(str(error)) from None


def _epochs(folder: Path) -> dict[str, dict[int, float]]:
    path = folder / METRICS
    if not is_there(path):
        return {}
    epochs: dict[str, dict[int, float]] = {}
    number = 1
    try:
        with io.StringIO(read_text(path), newline="") as file:
            # A last line without a line break is incomplete, and so may be its last number.
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
                    # The last row of an epoch holds its mean; rows of steps come before it.
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


def curve(runs: Sequence[Run], metric: str) -> dict[int, Spread]:
    """A metric's spread over the seeds, by epoch."""
    epochs = sorted({epoch for run in runs for epoch in run.epochs.get(metric, {})})
    spreads = {epoch: spread(run.epochs.get(metric, {}).get(epoch) for run in runs) for epoch in epochs}
    return {epoch: value for epoch, value in spreads.items() if value is not None}
