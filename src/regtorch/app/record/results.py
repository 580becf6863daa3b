"""Finished runs, read from their files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regtorch.app.ground.reading import is_there
from regtorch.app.record.epoch_tables import Epochs, read_epochs
from regtorch.app.record.file_names import METRICS
from regtorch.app.record.overrides import read_overrides
from regtorch.app.record.run_record import RunRecord
from regtorch.spread import Spread, spread

__all__ = ["BrokenRun", "Run", "curve", "read_run"]


class BrokenRun(ValueError):
    """Files of a finished run that cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    overrides: Sequence[str]  # it was started with
    record: RunRecord
    epochs: Epochs

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


def _epochs(folder: Path) -> Epochs:
    path = folder / METRICS
    return read_epochs(path, first=0, growing=True).get(0, {}) if is_there(path) else {}


def curve(runs: Sequence[Run], metric: str) -> dict[int, Spread]:
    """A metric's spread over the seeds, by epoch."""
    epochs = sorted({epoch for run in runs for epoch in run.epochs.get(metric, {})})
    spreads = {epoch: spread(run.epochs.get(metric, {}).get(epoch) for run in runs) for epoch in epochs}
    return {epoch: value for epoch, value in spreads.items() if value is not None}
